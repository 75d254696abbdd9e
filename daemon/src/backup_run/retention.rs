//! Which artifacts the retention rules no longer keep. Pure.
//!
//! A chain is a full backup and the differential ones that continue it without a gap; whole chains go or
//! stay. The newest chain of each database always stays, whatever the rules say, and so does every chain
//! that the run that has just ended wrote to. A file that belongs to no chain is not touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{artifacts::database_of, inspect::Inspected};

/// Age of the oldest chain that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxAge(pub Duration);

/// The retention rules. A chain goes if either rule says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Chains per database.
    pub count: Option<u32>,
    /// Age of the newest file of a chain.
    pub age: Option<MaxAge>,
}

impl Keep {
    /// Whether there is any rule.
    pub fn any(self) -> bool {
        self.count.is_some() || self.age.is_some()
    }
}

struct Chain<'a> {
    newest: Timestamp,
    highest: u64,
    files: Vec<&'a str>,
}

/// Files to remove, by name. `fresh` are those of the run that has just ended.
pub fn expired(known: &[Inspected], fresh: &BTreeSet<&str>, keep: Keep, now: Timestamp) -> Vec<String> {
    let mut by_database: BTreeMap<(&str, &str), Vec<&Inspected>> = BTreeMap::new();
    for artifact in known {
        let Some(database) = database_of(&artifact.file) else {
            continue;
        };
        by_database
            .entry((database, &artifact.database_id))
            .or_default()
            .push(artifact);
    }
    let mut chains_by_name: BTreeMap<&str, Vec<Chain<'_>>> = BTreeMap::new();
    for ((database, _), artifacts) in by_database {
        chains_by_name.entry(database).or_default().extend(chains(artifacts));
    }
    let mut gone = Vec::new();
    for mut chains in chains_by_name.into_values() {
        chains.sort_by_key(|chain| std::cmp::Reverse(chain.newest));
        for (place, chain) in chains.iter().enumerate().skip(1) {
            let too_many = keep.count.is_some_and(|count| place >= count.max(1) as usize);
            let too_old = keep.age.is_some_and(|MaxAge(age)| {
                let lived = Duration::try_from(now.duration_since(chain.newest)).unwrap_or_default();
                lived > age
            });
            if (too_many || too_old) && !chain.files.iter().any(|file| fresh.contains(file)) {
                gone.extend(chain.files.iter().map(|file| (*file).to_owned()));
            }
        }
    }
    gone.sort();
    gone
}

/// Chains of one database, each begun by a full backup. Differential ones continue the chain whose last
/// transaction is right before their first.
fn chains(mut artifacts: Vec<&Inspected>) -> Vec<Chain<'_>> {
    artifacts.sort_by_key(|artifact| (artifact.time, !artifact.full, artifact.lowest));
    let mut chains: Vec<Chain<'_>> = Vec::new();
    for artifact in artifacts {
        if artifact.full {
            chains.push(Chain {
                newest: artifact.time,
                highest: artifact.highest,
                files: vec![&artifact.file],
            });
        } else {
            // A differential backup without new transactions repeats the last one.
            let continues =
                |chain: &&mut Chain<'_>| artifact.lowest == chain.highest + 1 || artifact.lowest == chain.highest;
            // Every chain that it continues keeps it: two full backups can end at the same transaction.
            for chain in chains.iter_mut().filter(|chain| continues(chain)) {
                chain.newest = artifact.time;
                chain.highest = artifact.highest;
                chain.files.push(&artifact.file);
            }
        }
    }
    // A file that two chains share must not go with one of them.
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for file in chains.iter().flat_map(|chain| &chain.files) {
        *uses.entry(file).or_default() += 1;
    }
    for chain in &mut chains {
        chain.files.retain(|file| uses[file] == 1);
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(database: &str, day: u32, full: bool, lowest: u64, highest: u64) -> Inspected {
        Inspected {
            file: format!("{database}-2026-01-{day:02}T00-00-00.backup"),
            database_id: "id".into(),
            time: format!("2026-01-{day:02}T00:00:00Z").parse().unwrap(),
            full,
            lowest,
            highest,
        }
    }

    fn days(known: &[Inspected], fresh: &[u32], keep: Keep, today: u32) -> Vec<u32> {
        let fresh: Vec<String> = fresh
            .iter()
            .map(|day| format!("a-2026-01-{day:02}T00-00-00.backup"))
            .collect();
        let fresh = fresh.iter().map(String::as_str).collect();
        let now = format!("2026-01-{today:02}T00:00:00Z").parse().unwrap();
        expired(known, &fresh, keep, now)
            .iter()
            .map(|file| file[10..12].parse().unwrap())
            .collect()
    }

    fn count(count: u32) -> Keep {
        Keep {
            count: Some(count),
            age: None,
        }
    }

    #[test]
    fn whole_chains_go_and_the_newest_stays() {
        let known = [
            artifact("a", 1, true, 1, 10),
            artifact("a", 2, false, 11, 20),
            artifact("a", 3, true, 1, 30),
            artifact("a", 4, false, 31, 40),
            artifact("a", 5, true, 1, 50),
        ];
        assert_eq!(days(&known, &[5], count(2), 5), [1, 2]);
        assert_eq!(days(&known, &[5], count(1), 5), [1, 2, 3, 4]);
        assert_eq!(days(&known, &[5], count(0), 5), [1, 2, 3, 4], "never the last one");
        assert_eq!(days(&known, &[5], Keep::default(), 5), [0_u32; 0]);
    }

    #[test]
    fn a_chain_is_as_old_as_its_newest_file() {
        let known = [
            artifact("a", 1, true, 1, 10),
            artifact("a", 9, false, 11, 20),
            artifact("a", 2, true, 1, 12),
            artifact("a", 10, true, 1, 30),
        ];
        let keep = Keep {
            count: None,
            age: Some(MaxAge(Duration::from_secs(5 * 86_400))),
        };
        assert_eq!(days(&known, &[10], keep, 10), [2]);
        let all_old = days(&known, &[], keep, 31);
        assert!(
            !all_old.contains(&10),
            "the newest good one is never removed: {all_old:?}"
        );
    }

    #[test]
    fn what_belongs_to_no_chain_is_not_touched() {
        let known = [
            artifact("a", 1, false, 5, 9),
            artifact("a", 2, true, 1, 12),
            artifact("a", 3, true, 1, 20),
        ];
        assert_eq!(days(&known, &[3], count(1), 3), [2]);
    }

    #[test]
    fn a_file_that_two_chains_share_stays() {
        let known = [
            artifact("a", 1, true, 1, 10),
            artifact("a", 2, true, 1, 10),
            artifact("a", 3, false, 11, 20),
        ];
        assert!(!days(&known, &[], count(1), 4).contains(&3));
    }

    #[test]
    fn databases_are_counted_each_for_itself() {
        let known = [
            artifact("a", 1, true, 1, 1),
            artifact("b", 2, true, 1, 1),
            artifact("a", 3, true, 1, 1),
        ];
        assert_eq!(days(&known, &[3], count(1), 4), [1]);
    }
}
