//! How many bytes the stores may take: all together, and those of single kinds (ST13).
//!
//! Pure: who keeps the stores says what they take, and does something about what is [`Over`].

use std::{collections::BTreeMap, fmt};

use neo4j_operator_shared::Kind;

use super::forecast;

/// Bounds in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// Of all stores together.
    pub total: Option<u64>,
    /// Of the stores of single kinds.
    pub kinds: BTreeMap<Kind, u64>,
}

/// A bound that is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// Whose bound: this kind's, or that of all stores together.
    pub of: Option<Kind>,
    /// Bytes that are taken.
    pub bytes: u64,
    /// Bytes that may be.
    pub budget: u64,
    /// The kind that takes most of them, of those that can be kept smaller, and how many.
    pub largest: (Kind, u64),
}

impl Budgets {
    /// The bound of a kind.
    pub fn of(&self, kind: Kind) -> Option<u64> {
        self.kinds.get(&kind).copied()
    }

    /// The bounds that these sizes break: those of kinds, then the one of all.
    pub fn over(&self, sizes: &[(Kind, u64)]) -> Vec<Over> {
        let kinds = sizes.iter().filter_map(|size| {
            let (kind, bytes) = *size;
            let budget = self.of(kind).filter(|budget| bytes > *budget)?;
            Some(Over {
                of: Some(kind),
                bytes,
                budget,
                largest: *size,
            })
        });
        let bytes = sizes.iter().map(|(_, bytes)| bytes).sum();
        let total = self.total.filter(|budget| bytes > *budget);
        // Custom resources are always kept: there is nothing to be done about them.
        let rank = |size: &&(Kind, u64)| (!Kind::PRIMARY.contains(&size.0), size.1);
        let largest = sizes.iter().max_by_key(rank).copied();
        let all = total.zip(largest).map(|(budget, largest)| Over {
            of: None,
            bytes,
            budget,
            largest,
        });
        kinds.chain(all).collect()
    }
}

impl Over {
    /// What a person can do about it.
    pub fn advice(&self) -> String {
        let (kind, _) = self.largest;
        let flag = match self.of {
            Some(_) => "--cache-budget-for",
            None => "--cache-budget",
        };
        format!("give {kind} a smaller strategy, or raise {flag}")
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: u64| forecast::bytes(bytes as f64);
        let (taken, may) = (text(self.bytes), text(self.budget));
        match (self.of, self.largest) {
            (Some(kind), _) => write!(f, "{kind} take {taken} of their budget of {may}"),
            (None, (kind, bytes)) => {
                write!(
                    f,
                    "the cache takes {taken} of its budget of {may}, {kind} {} of it",
                    text(bytes)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_broken_by_one_byte_more() {
        let budgets = Budgets {
            total: Some(30_000_000),
            kinds: [(Kind::Pod, 20_000_000)].into(),
        };
        let over = |pods, services| {
            let over = budgets.over(&[(Kind::Pod, pods), (Kind::Service, services)]);
            over.iter().map(Over::to_string).collect::<Vec<_>>()
        };
        assert_eq!(over(20_000_000, 10_000_000), Vec::<String>::new());
        assert_eq!(over(20_000_001, 0), ["pods take 20.0 MB of their budget of 20.0 MB"]);
        assert_eq!(
            over(20_000_000, 22_000_000),
            ["the cache takes 42.0 MB of its budget of 30.0 MB, services 22.0 MB of it"]
        );
        assert_eq!(over(31_000_000, 1).len(), 2);
        let with_custom = budgets.over(&[(Kind::Neo4jBackup, 40_000_000), (Kind::Service, 1)]);
        assert_eq!(with_custom[0].largest, (Kind::Service, 1));
        assert_eq!(Budgets::default().over(&[(Kind::Pod, u64::MAX)]), []);
    }

    #[test]
    fn what_can_be_done_names_the_flag_that_set_the_bound() {
        let budgets = Budgets {
            total: Some(1),
            kinds: [(Kind::Pod, 1)].into(),
        };
        let advice: Vec<_> = budgets.over(&[(Kind::Pod, 2)]).iter().map(Over::advice).collect();
        assert_eq!(
            advice,
            [
                "give pods a smaller strategy, or raise --cache-budget-for",
                "give pods a smaller strategy, or raise --cache-budget"
            ]
        );
    }
}
