//! How much memory the process may take: a setting, nine tenths of what its control group allows, or 500 MB.

use std::{
    fs,
    path::{Path, PathBuf},
};

use neo4j_operator_shared::memory::{Cgroup, LimitSource};

/// The limit where neither a setting nor a control group gives one.
pub const DEFAULT: u64 = 500_000_000;

/// Where control groups are read from.
#[derive(Clone, Debug)]
pub struct Groups {
    /// Which group the process is in.
    membership: PathBuf,
    /// The root of the tree.
    root: PathBuf,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            membership: "/proc/self/cgroup".into(),
            root: "/sys/fs/cgroup".into(),
        }
    }
}

impl Groups {
    /// Reads from these files instead of the system's.
    pub fn at(membership: PathBuf, root: PathBuf) -> Self {
        Self { membership, root }
    }

    /// The group whose limit is reached first, the process's own or one above; absent without a limit, on older
    /// kinds of control groups, and where there are none.
    pub fn read(&self) -> Option<Cgroup> {
        let membership = fs::read_to_string(&self.membership).ok()?;
        let own = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
        let relative = Path::new(own.trim()).strip_prefix("/").ok()?;
        // A path that leaves the tree is one of another namespace.
        if relative.components().any(|part| part.as_os_str() == "..") {
            return group(&self.root);
        }
        let folders = relative.ancestors().map(|path| self.root.join(path));
        folders
            .filter_map(|folder| group(&folder))
            .min_by_key(|group| group.max)
    }
}

/// A group with a limit.
fn group(folder: &Path) -> Option<Cgroup> {
    Some(Cgroup {
        max: bytes(&folder.join("memory.max"))?,
        current: bytes(&folder.join("memory.current"))?,
        high: bytes(&folder.join("memory.high")),
        stalled: fs::read_to_string(folder.join("memory.pressure"))
            .ok()
            .and_then(|text| stalled(&text)),
    })
}

/// The number in a file; `max`, which is no limit, and anything else is absent.
fn bytes(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// `avg10` of the line `some`: percent of the time in which some task waited for memory.
fn stalled(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let average = some.split(' ').find_map(|field| field.strip_prefix("avg10="))?;
    average
        .parse()
        .ok()
        .filter(|percent: &f64| (0.0..=100.0).contains(percent))
}

/// The limit and where it comes from.
pub fn limit(setting: Option<u64>, cgroup: Option<&Cgroup>) -> (u64, LimitSource) {
    // In two steps: ten times a limit may not fit.
    let tenths = cgroup.map(|group| group.max / 10 * 9 + group.max % 10 * 9 / 10);
    match (setting, tenths) {
        (Some(setting), Some(tenths)) if tenths < setting => (tenths, LimitSource::Cgroup),
        (Some(setting), _) => (setting, LimitSource::Setting),
        (None, Some(tenths)) => (tenths, LimitSource::Cgroup),
        (None, None) => (DEFAULT, LimitSource::Default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree {
        folder: tempfile::TempDir,
    }

    impl Tree {
        fn new(membership: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("cgroup"), membership).unwrap();
            Self { folder }
        }

        fn with(self, file: &str, text: &str) -> Self {
            let path = self.folder.path().join("root").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        fn read(&self) -> Option<Cgroup> {
            Groups::at(self.folder.path().join("cgroup"), self.folder.path().join("root")).read()
        }
    }

    #[test]
    fn the_group_of_a_container_is_read() {
        let tree = Tree::new("0::/\n")
            .with("memory.max", "536870912\n")
            .with("memory.current", "52000000\n")
            .with("memory.high", "max\n")
            .with(
                "memory.pressure",
                "some avg10=1.50 avg60=0.10 avg300=0.00 total=1\nfull avg10=0.20 avg60=0.00 avg300=0.00 total=1\n",
            );
        let group = Cgroup {
            current: 52_000_000,
            max: 536_870_912,
            high: None,
            stalled: Some(1.5),
        };
        assert_eq!(tree.read(), Some(group));
    }

    #[test]
    fn the_limit_above_counts_if_it_is_the_smaller_one() {
        let tree = Tree::new("12:devices:/x\n0::/slice/unit\n")
            .with("slice/unit/memory.max", "max\n")
            .with("slice/unit/memory.current", "1\n")
            .with("slice/memory.max", "1000\n")
            .with("slice/memory.current", "700\n")
            .with("slice/memory.high", "900\n");
        let group = tree.read().unwrap();
        assert_eq!(
            (group.max, group.current, group.high, group.stalled),
            (1000, 700, Some(900), None)
        );
    }

    #[test]
    fn what_is_missing_or_odd_is_no_limit() {
        assert_eq!(Tree::new("0::/\n").read(), None);
        assert_eq!(Tree::new("").read(), None);
        assert_eq!(Tree::new("4:memory:/docker/1\n").with("memory.max", "1").read(), None);
        for text in ["max", "", "-1", "99999999999999999999999", "1e6", "\u{0}"] {
            let tree = Tree::new("0::/").with("memory.max", text).with("memory.current", "1");
            assert_eq!(tree.read(), None, "{text:?}");
        }
        let outside = Tree::new("0::/../../other")
            .with("memory.max", "5")
            .with("memory.current", "1");
        assert_eq!(outside.read().map(|group| group.max), Some(5));
        for text in [
            "",
            "some",
            "some avg10=",
            "some avg10=x",
            "some avg10=-1",
            "some avg10=NaN",
            "full avg10=1",
        ] {
            assert_eq!(stalled(text), None, "{text:?}");
        }
        let missing = Groups::at("/nowhere/at/all".into(), "/nowhere".into());
        assert_eq!(missing.read(), None);
    }

    #[test]
    fn the_smaller_of_setting_and_group_is_the_limit() {
        let group = |max| Cgroup {
            max,
            ..Cgroup::default()
        };
        assert_eq!(limit(None, None), (DEFAULT, LimitSource::Default));
        assert_eq!(limit(Some(7), None), (7, LimitSource::Setting));
        assert_eq!(limit(None, Some(&group(1000))), (900, LimitSource::Cgroup));
        assert_eq!(limit(Some(800), Some(&group(1000))), (800, LimitSource::Setting));
        assert_eq!(limit(Some(901), Some(&group(1000))), (900, LimitSource::Cgroup));
        assert!(limit(None, Some(&group(u64::MAX))).0 > u64::MAX / 10 * 8);
    }
}
