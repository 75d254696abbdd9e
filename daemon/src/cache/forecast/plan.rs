//! Which strategy each kind would run.

use std::collections::BTreeMap;

use neo4j_operator_shared::{Kind, Strategy, switch::Wanted};

use super::Input;

/// The strategy of each kind, `adaptive` resolved to one of the four.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cache) struct Plan(pub BTreeMap<Kind, Strategy>);

impl Plan {
    /// What runs now.
    pub fn now(input: &Input) -> Self {
        Self(input.kinds.iter().map(|kind| (kind.kind, kind.running)).collect())
    }

    /// What a change would bring: of the kinds named, or of all without a strategy of their own. `choose` says
    /// what `adaptive` would choose.
    pub fn wanted(input: &Input, wanted: Wanted, kinds: Option<&[Kind]>, choose: impl Fn(Kind) -> Strategy) -> Self {
        let strategy = match wanted {
            Wanted::Strategy(strategy) => strategy,
            Wanted::Default => input.current,
        };
        let mut plan = Self::now(input);
        for kind in &input.kinds {
            let meant = kinds.map_or(!kind.pinned, |kinds| kinds.contains(&kind.kind));
            if !meant || kind.primary() {
                continue;
            }
            let runs = match strategy {
                Strategy::Adaptive => choose(kind.kind),
                strategy => strategy,
            };
            plan.0.insert(kind.kind, runs);
        }
        plan
    }

    /// What a kind would run.
    pub fn of(&self, kind: Kind) -> Strategy {
        self.0.get(&kind).copied().unwrap_or_default()
    }
}
