//! Backup pods: plays `backup-run` on the databases of the model, with artifacts that stay on their volume.
//!
//! The argument vector is read as the program would, chains are continued and pruned as it prunes: only after a run that made a new
//! artifact, whole chains, never the newest one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use neo4j_operator_shared::backup::{Artifact, BackupReport};

use super::{handle::ClusterHandle, model::Cluster};
use crate::controllers::runtime::Exit;

/// What a backup is told to do wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupFault {
    /// These databases fail, the others are there: exit code 1.
    Partial(BTreeSet<String>),
    /// No server answers.
    Unreachable,
    /// The program dies without a report.
    Killed,
}

/// `FULL`, `DIFF` or `AUTO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Full,
    Diff,
    Auto,
}

/// The arguments of `backup-run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    from: Vec<String>,
    path: String,
    databases: Vec<String>,
    kind: Type,
    keep_count: Option<usize>,
    keep_age: Option<Duration>,
}

/// An artifact on a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    database: String,
    database_id: String,
    file: String,
    bytes: u64,
    at: Timestamp,
    full: bool,
}

/// All backups of a devcluster, by volume and folder.
#[derive(Debug, Default)]
pub struct Backups {
    folders: Mutex<BTreeMap<(String, String), Vec<Stored>>>,
}

impl Arguments {
    /// Reads the argument vector of a pod's container.
    pub fn of(pod: &Pod) -> Result<Self, String> {
        let container = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.containers.first())
            .ok_or("the pod has no container")?;
        let words = container
            .command
            .iter()
            .flatten()
            .chain(container.args.iter().flatten());
        Self::parse(words.map(String::as_str))
    }

    fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut words = words.skip_while(|word| *word != "backup-run").skip(1).peekable();
        if words.peek().is_none() {
            return Err("the container does not run backup-run".to_owned());
        }
        let mut flags = BTreeMap::new();
        while let Some(word) = words.next() {
            if word == "--" {
                break; // The rest is neo4j-admin's.
            }
            let Some(flag) = word.strip_prefix("--") else {
                return Err(format!("unexpected argument '{word}'"));
            };
            match flag.split_once('=') {
                Some((flag, value)) => flags.insert(flag, value),
                None => flags.insert(flag, words.next().ok_or_else(|| format!("--{flag} needs a value"))?),
            };
        }
        let list = |text: &str| {
            text.split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect()
        };
        Ok(Self {
            from: flags.get("from").map(|text| list(text)).ok_or("--from is missing")?,
            path: (*flags.get("to-path").ok_or("--to-path is missing")?).to_owned(),
            databases: list(flags.get("databases").copied().unwrap_or("*")),
            kind: match flags.get("type").copied().unwrap_or("AUTO") {
                "FULL" => Type::Full,
                "DIFF" => Type::Diff,
                "AUTO" => Type::Auto,
                other => return Err(format!("--type: '{other}' is none of FULL, DIFF, AUTO")),
            },
            keep_count: flags
                .get("keep-count")
                .map(|text| text.parse().map_err(|_| format!("--keep-count: '{text}'")))
                .transpose()?,
            keep_age: flags.get("keep-age").map(|text| age(text)).transpose()?,
        })
    }

    /// Where its artifacts are: on a volume, or in an object store that no volume holds.
    fn folder(&self, volume: &str) -> (String, String) {
        let volume = if self.is_folder() { volume } else { "" };
        (volume.to_owned(), self.path.clone())
    }

    /// Artifacts in an object store are not listed, by the real program neither.
    fn is_folder(&self) -> bool {
        !self.path.contains("://")
    }
}

fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("--keep-age: '{text}'");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// A database as it is backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    name: String,
    id: String,
    bytes: u64,
}

impl Backups {
    /// Runs one backup to its end.
    pub async fn run(
        &self,
        arguments: &Arguments,
        volume: &str,
        cluster: &ClusterHandle,
        bytes_per_second: u64,
        fault: Option<BackupFault>,
    ) -> Exit {
        let started_at = cluster.clock().timestamp();
        if fault == Some(BackupFault::Killed) {
            return Exit {
                code: 137,
                reason: "OOMKilled".to_owned(),
                message: None,
            };
        }
        let mut report = BackupReport {
            version: 1,
            exit_code: Some(0),
            started_at,
            finished_at: started_at,
            path: arguments.path.clone(),
            artifacts: Vec::new(),
            omitted: 0,
            pruned: 0,
            error: None,
        };
        let sources = if fault == Some(BackupFault::Unreachable) {
            Err("neo4j-admin ended with exit status: 1: failed to connect to any of the given servers".to_owned())
        } else {
            cluster.with(|cluster, _| sources(cluster, arguments))
        };
        match sources {
            Err(error) => report.error = Some(error),
            Ok(sources) => {
                let bytes: u64 = sources.iter().map(|source| source.bytes).sum();
                tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / bytes_per_second.max(1) as f64)).await;
                let broken = match fault {
                    Some(BackupFault::Partial(names)) => names,
                    _ => BTreeSet::new(),
                };
                let at = cluster.clock().timestamp();
                self.store(arguments, volume, &sources, &broken, at, &mut report);
            }
        }
        if report.error.is_some() {
            report.exit_code = Some(1);
        }
        report.finished_at = cluster.clock().timestamp();
        Exit {
            code: report.exit_code.unwrap_or(1),
            reason: String::new(),
            message: Some(report.to_message()),
        }
    }

    fn store(
        &self,
        arguments: &Arguments,
        volume: &str,
        sources: &[Source],
        broken: &BTreeSet<String>,
        at: Timestamp,
        report: &mut BackupReport,
    ) {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = folders.entry(arguments.folder(volume)).or_default();
        let mut failed = Vec::new();
        for source in sources {
            let parent = folder
                .iter()
                .any(|stored| stored.database == source.name && stored.database_id == source.id);
            if broken.contains(&source.name) || arguments.kind == Type::Diff && !parent {
                failed.push(source.name.as_str());
                continue;
            }
            let full = arguments.kind == Type::Full || !parent;
            let stored = Stored {
                database: source.name.clone(),
                database_id: source.id.clone(),
                file: format!("{}-{}.backup", source.name, at.strftime("%Y-%m-%dT%H-%M-%S")),
                // Compressed to some two thirds; a differential one has the last transactions only.
                bytes: if full { source.bytes * 2 / 3 } else { source.bytes / 50 }.max(1024),
                at,
                full,
            };
            if folder.iter().any(|other| other.file == stored.file) {
                failed.push(source.name.as_str()); // Two runs within a second: the file is there already.
                continue;
            }
            if arguments.is_folder() {
                report.artifacts.push(Artifact {
                    database: stored.database.clone(),
                    file: stored.file.clone(),
                    bytes: stored.bytes,
                });
            }
            folder.push(stored);
        }
        if !failed.is_empty() {
            report.error = Some(format!(
                "neo4j-admin ended with exit status: 1: backup failed for {}",
                failed.join(", ")
            ));
        } else if arguments.is_folder() && !report.artifacts.is_empty() {
            let before = folder.len();
            prune(folder, arguments, at);
            report.pruned = (before - folder.len()) as u32;
        }
    }

    /// Files in a folder of a volume, in order; in an object store the volume has no name.
    pub fn files(&self, volume: &str, path: &str) -> Vec<String> {
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = folders.get(&(volume.to_owned(), path.to_owned()));
        folder.into_iter().flatten().map(|stored| stored.file.clone()).collect()
    }
}

/// What can be backed up: from a server that runs and holds the database online.
fn sources(cluster: &Cluster, arguments: &Arguments) -> Result<Vec<Source>, String> {
    let hosts: Vec<&str> = arguments
        .from
        .iter()
        .filter_map(|address| address.split(':').next())
        .collect();
    let reachable: Vec<_> = cluster
        .servers
        .values()
        .filter(|server| server.serving && hosts.contains(&server.boot.host.as_str()))
        .collect();
    if reachable.is_empty() {
        return Err("neo4j-admin ended with exit status: 1: failed to connect to any of the given servers".to_owned());
    }
    let all = arguments.databases.iter().any(|name| name == "*");
    let mut sources = Vec::new();
    for (name, database) in &cluster.databases {
        if !all
            && !arguments
                .databases
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(name))
        {
            continue;
        }
        let online = reachable.iter().any(|server| {
            let copy = database.copies.get(&server.id);
            copy.is_some_and(|copy| copy.phase == super::model::Phase::Online)
        });
        if online {
            sources.push(Source {
                name: name.clone(),
                id: database.id.clone(),
                bytes: database.bytes,
            });
        } else if !all {
            return Err(format!(
                "neo4j-admin ended with exit status: 1: database '{name}' is not online at any of the given servers"
            ));
        }
    }
    let missing = arguments
        .databases
        .iter()
        .find(|name| *name != "*" && !cluster.databases.contains_key(&name.to_lowercase()));
    match missing {
        Some(name) => Err(format!(
            "neo4j-admin ended with exit status: 1: database '{name}' does not exist"
        )),
        None => Ok(sources),
    }
}

/// Removes the chains that the rules no longer keep; the newest of each database stays.
fn prune(folder: &mut Vec<Stored>, arguments: &Arguments, now: Timestamp) {
    let mut chains: BTreeMap<String, Vec<(Timestamp, Vec<String>)>> = BTreeMap::new();
    for stored in folder.iter() {
        let chains = chains.entry(stored.database.clone()).or_default();
        match chains.last_mut() {
            Some((newest, files)) if !stored.full => {
                *newest = stored.at;
                files.push(stored.file.clone());
            }
            _ => chains.push((stored.at, vec![stored.file.clone()])),
        }
    }
    let mut gone = BTreeSet::new();
    for chains in chains.into_values() {
        for (place, (newest, files)) in chains.into_iter().rev().enumerate().skip(1) {
            let many = arguments.keep_count.is_some_and(|count| place >= count.max(1));
            let lived = Duration::try_from(now.duration_since(newest)).unwrap_or_default();
            if many || arguments.keep_age.is_some_and(|age| lived > age) {
                gone.extend(files);
            }
        }
    }
    folder.retain(|stored| !gone.contains(&stored.file));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neo4j::{
        handle::Clock,
        model::{Boot, Tuning},
    };

    fn arguments(text: &str) -> Result<Arguments, String> {
        Arguments::parse(text.split_whitespace())
    }

    async fn cluster() -> std::sync::Arc<ClusterHandle> {
        let handle = ClusterHandle::new("ns/c", Tuning::default(), Clock::new(Timestamp::UNIX_EPOCH));
        let boot = Boot {
            volume: "v".into(),
            host: "c-server-0.c-headless.ns.svc.cluster.local".into(),
            ..Boot::default()
        };
        handle.with(|cluster, now| cluster.process_started(boot, now));
        tokio::time::sleep(Duration::from_secs(10)).await;
        handle
    }

    const FROM: &str =
        "neo4j-operator backup-run --from c-server-0.c-headless.ns.svc.cluster.local:6362 --to-path /backups/b";

    async fn run(
        backups: &Backups,
        cluster: &ClusterHandle,
        more: &str,
        fault: Option<BackupFault>,
    ) -> (i32, BackupReport) {
        let arguments = arguments(&format!("{FROM} {more}")).unwrap();
        let exit = backups.run(&arguments, "pvc", cluster, 64 << 20, fault).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        (exit.code, BackupReport::from_message(&exit.message.unwrap()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn artifacts_are_named_and_sized_from_the_model_and_old_chains_are_pruned() {
        let (backups, cluster) = (Backups::default(), cluster().await);
        let (code, report) = run(&backups, &cluster, "--databases * --type FULL", None).await;
        assert_eq!((code, report.artifacts.len()), (0, 2));
        assert!(
            report.artifacts[0].file.starts_with("neo4j-1970-01-01T00-00-1"),
            "{report:?}"
        );
        let (_, second) = run(&backups, &cluster, "--type DIFF", None).await;
        assert!(second.artifacts[0].bytes < report.artifacts[0].bytes);
        run(&backups, &cluster, "--type FULL", None).await;
        assert_eq!(backups.files("pvc", "/backups/b").len(), 6);
        let (_, last) = run(&backups, &cluster, "--type=FULL --keep-count=2", None).await;
        assert_eq!(
            last.pruned, 4,
            "the first chain of both databases, full and differential"
        );
        assert_eq!(backups.files("pvc", "/backups/b").len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_chain_in_an_object_store_goes_on_from_pod_to_pod_and_is_not_listed() {
        let (backups, cluster) = (Backups::default(), cluster().await);
        let to = FROM.replace("/backups/b", "s3://bucket/b/");
        for (pod, kind) in [("one", "FULL"), ("two", "DIFF")] {
            let arguments = arguments(&format!("{to} --type {kind} -- --include-metadata=all")).unwrap();
            let exit = backups.run(&arguments, pod, &cluster, 64 << 20, None).await;
            let report = BackupReport::from_message(&exit.message.unwrap()).unwrap();
            assert_eq!((exit.code, report.artifacts.len()), (0, 0), "{report:?}");
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_partial_run_says_what_is_there_and_prunes_nothing() {
        let (backups, cluster) = (Backups::default(), cluster().await);
        for _ in 0..2 {
            run(&backups, &cluster, "--type FULL", None).await;
        }
        let fault = BackupFault::Partial(["system".to_owned()].into());
        let (code, report) = run(&backups, &cluster, "--type FULL --keep-count 1", Some(fault)).await;
        assert_eq!((code, report.artifacts.len(), report.pruned), (1, 1, 0));
        assert!(report.error.unwrap().contains("system"));
    }

    #[tokio::test(start_paused = true)]
    async fn no_server_no_such_database_and_no_parent_are_failures() {
        let (backups, cluster) = (Backups::default(), cluster().await);
        for more in ["--databases nope", "--type DIFF"] {
            assert_eq!(run(&backups, &cluster, more, None).await.0, 1, "{more}");
        }
        assert_eq!(run(&backups, &cluster, "", Some(BackupFault::Unreachable)).await.0, 1);
        assert!(arguments("neo4j-operator run").is_err());
        assert!(arguments("x backup-run --from a --to-path b --type MAYBE").is_err());
        assert!(arguments("x backup-run --from a --to-path b --keep-age 7y").is_err());
    }
}
