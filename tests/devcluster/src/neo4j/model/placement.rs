//! Where the copies of a database go: a pure choice among servers.
//!
//! Copies stay where they are if they can, new ones go to the server with the fewest. Where that leaves too few servers for one mode,
//! servers bound to a mode are used before free ones, which finds a choice whenever there is one.

use std::collections::BTreeMap;

/// What a copy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Votes.
    Primary,
    /// Only reads.
    Secondary,
}

/// A server that may take a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// The only mode it takes; `None` is any.
    pub only: Option<Mode>,
    /// Copies it holds already, of all databases.
    pub load: usize,
    /// The mode of its copy of this database, if it has one.
    pub holds: Option<Mode>,
}

/// How many servers there would have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// Primaries that found a place.
    pub primaries: usize,
    /// Secondaries that found a place.
    pub secondaries: usize,
}

/// Servers with the mode of their copy.
pub type Placement = BTreeMap<String, Mode>;

/// Chooses servers for so many primaries and secondaries.
pub fn place(candidates: &[Candidate], primaries: u32, secondaries: u32) -> Result<Placement, Shortage> {
    choose(candidates, primaries, secondaries, false).or_else(|_| choose(candidates, primaries, secondaries, true))
}

fn choose(
    candidates: &[Candidate],
    primaries: u32,
    secondaries: u32,
    bound_first: bool,
) -> Result<Placement, Shortage> {
    let mut placement = Placement::new();
    let mut found = [0, 0];
    for (slot, (mode, wanted)) in [(Mode::Primary, primaries), (Mode::Secondary, secondaries)]
        .into_iter()
        .enumerate()
    {
        let mut fit: Vec<&Candidate> = candidates
            .iter()
            .filter(|candidate| {
                candidate.only.is_none_or(|only| only == mode) && !placement.contains_key(&candidate.id)
            })
            .collect();
        // Holding this mode comes first; a copy of the other mode is better than none, since its store is there.
        fit.sort_by_key(|candidate| {
            let free = bound_first && candidate.only.is_none();
            let store = match candidate.holds {
                Some(held) if held == mode => 0,
                Some(_) => 1,
                None => 2,
            };
            (free, store, candidate.load)
        });
        for candidate in fit.into_iter().take(wanted as usize) {
            placement.insert(candidate.id.clone(), mode);
            found[slot] += 1;
        }
    }
    if found == [primaries as usize, secondaries as usize] {
        return Ok(placement);
    }
    Err(Shortage {
        primaries: found[0],
        secondaries: found[1],
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn modes() -> impl Strategy<Value = Option<Mode>> {
        prop_oneof![Just(None), Just(Some(Mode::Primary)), Just(Some(Mode::Secondary))]
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        prop::collection::vec((modes(), 0..5_usize, modes()), 0..9).prop_map(|servers| {
            let numbered = servers.into_iter().enumerate();
            numbered
                .map(|(n, (only, load, holds))| Candidate {
                    id: format!("s{n}"),
                    only,
                    load,
                    holds,
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn a_placement_satisfies_its_topology_and_is_refused_only_when_none_exists(
            servers in candidates(), primaries in 0..5_u32, secondaries in 0..5_u32
        ) {
            let count = |only: Option<Mode>| servers.iter().filter(|server| server.only == only).count();
            let (bound_p, bound_s, free) = (count(Some(Mode::Primary)), count(Some(Mode::Secondary)), count(None));
            let lacking = (primaries as usize).saturating_sub(bound_p) + (secondaries as usize).saturating_sub(bound_s);
            match place(&servers, primaries, secondaries) {
                Ok(placement) => {
                    let placed = |mode| placement.values().filter(|held| **held == mode).count();
                    prop_assert_eq!(placed(Mode::Primary), primaries as usize);
                    prop_assert_eq!(placed(Mode::Secondary), secondaries as usize);
                    for server in &servers {
                        if let (Some(only), Some(mode)) = (server.only, placement.get(&server.id)) {
                            prop_assert_eq!(only, *mode);
                        }
                    }
                }
                Err(_) => prop_assert!(lacking > free, "refused though possible"),
            }
        }
    }

    #[test]
    fn copies_stay_where_they_are() {
        let server = |id: &str, load, holds| Candidate {
            id: id.into(),
            only: None,
            load,
            holds,
        };
        let servers = [
            server("a", 0, None),
            server("b", 9, Some(Mode::Primary)),
            server("c", 1, None),
        ];
        let placement = place(&servers, 1, 1).unwrap();
        assert_eq!(
            placement,
            [("b".to_owned(), Mode::Primary), ("a".to_owned(), Mode::Secondary)].into()
        );
    }
}
