//! Which strategy each kind runs, and what it means for what is kept. Pure.

use std::{collections::BTreeMap, time::Duration};

use neo4j_operator_shared::{
    Kind, Strategy,
    switch::{SwitchRequest, Wanted},
};

use super::backing::Keep;

/// A kind under `lazy` that nobody has read for so long is let go.
pub(super) const IDLE: Duration = Duration::from_secs(600);

/// The strategies in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    /// Of kinds without one of their own.
    pub(super) default: Strategy,
    /// Of single kinds, set by hand.
    pub(super) own: BTreeMap<Kind, Strategy>,
    /// What `adaptive` has chosen.
    pub(super) chosen: BTreeMap<Kind, Strategy>,
}

/// A request that cannot be met as it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("strategy default clears the own strategy of kinds: say which, as in \"kinds\": [\"pods\"]")]
    NoKinds,
    #[error("\"kinds\" is empty: name some, or leave it out for all")]
    EmptyKinds,
    #[error("{0} are always kept: their changes are what the operator reacts to")]
    Primary(Kind),
    #[error("{0} are only written, never read: they have no cache")]
    WriteOnly(Kind),
}

impl Policy {
    /// The strategy set for a kind, and whether it is its own.
    pub(super) fn set(&self, kind: Kind) -> (Strategy, bool) {
        match self.own.get(&kind) {
            Some(own) => (*own, true),
            None => (self.default, false),
        }
    }

    /// The strategy that a kind runs: what `adaptive` chose for it is one of the others.
    pub(super) fn runs(&self, kind: Kind) -> Strategy {
        if Kind::PRIMARY.contains(&kind) {
            // Custom resources are kept under every strategy, and never let go.
            return Strategy::Selective;
        }
        match self.set(kind).0 {
            Strategy::Adaptive => self.chosen.get(&kind).copied().unwrap_or(Strategy::Selective),
            strategy => strategy,
        }
    }

    /// What is kept of a kind that was last read so long ago.
    pub(super) fn keep(&self, kind: Kind, unread: Option<Duration>) -> Keep {
        match self.runs(kind) {
            Strategy::None => Keep::Keys,
            Strategy::Lazy if unread.is_none_or(|unread| unread >= IDLE) => Keep::Keys,
            Strategy::Lazy | Strategy::Selective | Strategy::Adaptive => Keep::Selected,
            Strategy::Full => Keep::All,
        }
    }

    /// Whether a kind is kept from its first read on.
    pub(super) fn lazy(&self, kind: Kind) -> bool {
        self.runs(kind) == Strategy::Lazy
    }

    /// The policy after a request.
    pub(super) fn after(&self, request: &SwitchRequest) -> Result<Self, Unfit> {
        let mut policy = self.clone();
        let Some(kinds) = &request.kinds else {
            return match request.strategy {
                Wanted::Strategy(strategy) => {
                    policy.default = strategy;
                    Ok(policy)
                }
                Wanted::Default => Err(Unfit::NoKinds),
            };
        };
        if kinds.is_empty() {
            return Err(Unfit::EmptyKinds);
        }
        for kind in kinds {
            if Kind::PRIMARY.contains(kind) {
                return Err(Unfit::Primary(*kind));
            }
            if *kind == Kind::Event {
                return Err(Unfit::WriteOnly(*kind));
            }
            match request.strategy {
                Wanted::Strategy(strategy) => policy.own.insert(*kind, strategy),
                Wanted::Default => policy.own.remove(kind),
            };
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(strategy: Wanted, kinds: Option<&[Kind]>) -> SwitchRequest {
        SwitchRequest {
            strategy,
            kinds: kinds.map(<[Kind]>::to_vec),
            dry_run: false,
            rollback_after: None,
        }
    }

    #[test]
    fn a_kind_keeps_its_own_strategy_until_it_is_cleared() {
        let policy = Policy::default();
        let pods = Some(&[Kind::Pod][..]);
        let own = policy.after(&request(Wanted::Strategy(Strategy::Full), pods)).unwrap();
        let all = own.after(&request(Wanted::Strategy(Strategy::None), None)).unwrap();
        assert_eq!(all.keep(Kind::Pod, None), Keep::All);
        assert_eq!(all.keep(Kind::Service, None), Keep::Keys);
        let cleared = all.after(&request(Wanted::Default, pods)).unwrap();
        assert_eq!(
            (cleared.set(Kind::Pod), cleared.keep(Kind::Pod, None)),
            ((Strategy::None, false), Keep::Keys)
        );
    }

    #[test]
    fn lazy_keeps_what_was_read_of_late() {
        let policy = Policy {
            default: Strategy::Lazy,
            ..Policy::default()
        };
        assert_eq!(policy.keep(Kind::Pod, None), Keep::Keys);
        assert_eq!(policy.keep(Kind::Pod, Some(Duration::from_secs(1))), Keep::Selected);
        assert_eq!(policy.keep(Kind::Pod, Some(IDLE)), Keep::Keys);
    }

    #[test]
    fn custom_resources_are_kept_under_every_strategy() {
        for default in Strategy::ALL {
            let policy = Policy {
                default,
                ..Policy::default()
            };
            for kind in Kind::PRIMARY {
                assert_eq!(
                    (policy.keep(kind, None), policy.lazy(kind)),
                    (Keep::Selected, false),
                    "{default}"
                );
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_say() {
        let policy = Policy::default();
        let refused = |request| policy.after(&request).unwrap_err();
        assert_eq!(refused(request(Wanted::Default, None)), Unfit::NoKinds);
        assert_eq!(
            refused(request(Wanted::Strategy(Strategy::None), Some(&[]))),
            Unfit::EmptyKinds
        );
        let primary = Some(&[Kind::Neo4jDatabase][..]);
        assert_eq!(
            refused(request(Wanted::Strategy(Strategy::None), primary)),
            Unfit::Primary(Kind::Neo4jDatabase)
        );
    }
}
