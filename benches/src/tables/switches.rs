//! Changes between all pairs of strategies.

use neo4j_operator_shared::Strategy;

use super::{
    daemon::Maker,
    probe::{Probe, Times},
    state::State,
};

/// What was measured of one change.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Before.
    pub from: Strategy,
    /// After.
    pub to: Strategy,
    /// Until the swap, by the operator's account, in seconds.
    pub seconds: f64,
    /// The same change of the router of this process, in seconds.
    pub probed: f64,
    /// Reads of that router while it changed.
    pub during: Times,
    /// Reads of it in the strategy before, at rest.
    pub rest: Times,
}

/// A walk that makes each change between two different strategies once: 0 1 0 2 0 3 0 4, 1 2 1 3 1 4, 2 3 2 4, 3 4, 0.
pub fn walk() -> Vec<Strategy> {
    let all = Strategy::ALL;
    let mut walk = Vec::new();
    for (place, &first) in all.iter().enumerate() {
        for &then in &all[place + 1..] {
            walk.extend([first, then]);
        }
    }
    walk.push(all[0]);
    walk.dedup();
    walk
}

/// Makes all of them, on a running operator and on a router of this process.
///
/// # Errors
/// If a change is refused or undone.
pub async fn measure(state: &State<'_>, maker: &Maker) -> anyhow::Result<Vec<Change>> {
    let walk = walk();
    let pairs = walk.iter().copied().zip(walk.iter().copied().skip(1));
    let mut daemon = maker.start(walk[0]).await?;
    daemon.ready().await?;
    state.quiet(&maker.user, state.now()?, super::strategies::START).await?;
    let mut seconds = Vec::new();
    for (_, to) in pairs.clone() {
        seconds.push(daemon.switch(to).await?.seconds);
    }
    daemon.stop().await?;
    let probe = Probe::start(state, walk[0]).await?;
    let mut changes = Vec::new();
    for ((from, to), seconds) in pairs.zip(seconds) {
        let rest = probe.at_rest().await?;
        let (probed, during) = probe.during(to).await?;
        changes.push(Change {
            from,
            to,
            seconds,
            probed,
            during,
            rest,
        });
    }
    probe.stop().await;
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_walk_makes_every_change_once() {
        let walk = walk();
        let names = |strategy: Strategy| strategy.to_string();
        let pairs = walk.iter().zip(walk.iter().skip(1));
        let pairs: BTreeSet<_> = pairs.map(|(from, to)| (names(*from), names(*to))).collect();
        assert_eq!((walk.len(), pairs.len()), (21, 20));
        assert!(pairs.iter().all(|(from, to)| from != to));
    }
}
