//! One operator: its command, its rights, its process.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use neo4j_operator_shared::Strategy;
use neo4j_operator_tests::{
    controlplane::ControlPlane,
    harness::{Ending, Process},
    rights::{self, Scope},
};

use super::arguments::Arguments;

/// Where the ServiceAccount of our own operator lives.
const HOME: &str = "bench-operator";

/// An operator that can be started again and again.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// As the table calls it.
    pub name: String,
    /// What a shell runs.
    command: String,
    kubeconfig: PathBuf,
    /// The user that the server's audit log has for it.
    pub user: String,
    folder: PathBuf,
}

/// Memory of a process as the kernel counts it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Candidate {
    /// Our own operator in each strategy, then the other one if there is one.
    ///
    /// # Errors
    /// If our program is not there, or the server refuses an identity for it.
    pub async fn all(arguments: &Arguments, plane: &ControlPlane) -> anyhow::Result<Vec<Self>> {
        let own = arguments
            .own
            .canonicalize()
            .with_context(|| format!("no operator at {}: run `make bench-compare`", arguments.own.display()))?;
        let folder = plane.folder().to_owned();
        let kubeconfig =
            rights::operator_kubeconfig(&plane.client(), plane.kubeconfig(), Scope::Cluster(HOME), &folder).await?;
        let mut candidates = Vec::new();
        for &strategy in &arguments.strategies {
            candidates.push(Self {
                name: format!("neo4j-operator, {strategy}"),
                command: own_command(&own, strategy, &folder),
                kubeconfig: kubeconfig.clone(),
                user: rights::user(HOME),
                folder: folder.clone(),
            });
        }
        if let Some(command) = arguments.operator.as_deref().filter(|command| !command.is_empty()) {
            if let Some(definitions) = &arguments.operator_crds {
                apply(definitions, plane.kubeconfig())?;
            }
            candidates.push(Self {
                name: "OPERATOR".to_owned(),
                command: command.to_owned(),
                // We do not know what it may ask for. Its own user keeps its requests apart from ours.
                kubeconfig: rights::administrator_kubeconfig(
                    &plane.client(),
                    plane.kubeconfig(),
                    "bench-other",
                    &folder,
                )
                .await?,
                user: rights::user("bench-other"),
                folder,
            });
        }
        Ok(candidates)
    }

    /// Starts it.
    ///
    /// # Errors
    /// If there is no shell.
    pub fn start(&self) -> anyhow::Result<Process> {
        let command = format!("exec {}", self.command);
        let environment = [("KUBECONFIG", self.kubeconfig.as_os_str())];
        Process::start_at(
            "candidate",
            Path::new("/bin/sh"),
            Ending::Asked,
            &["-c", &command],
            &environment,
            &self.folder,
        )
        .with_context(|| format!("cannot start {}", self.name))
    }
}

fn own_command(own: &Path, strategy: Strategy, folder: &Path) -> String {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    format!(
        "{} --cache-strategy={strategy} --metrics-addr=127.0.0.1:0 --health-addr=127.0.0.1:0 \
         --control-addr=127.0.0.1:0 --control-token-file={}",
        quoted(own),
        quoted(&folder.join("candidate.token")),
    )
}

fn apply(definitions: &Path, kubeconfig: &Path) -> anyhow::Result<()> {
    let status = std::process::Command::new("kubectl")
        .args(["apply", "--server-side", "--force-conflicts", "-f"])
        .arg(definitions)
        .env("KUBECONFIG", kubeconfig)
        .status()
        .context("kubectl is needed to apply OPERATOR_CRDS")?;
    ensure!(status.success(), "kubectl could not apply {}", definitions.display());
    Ok(())
}

/// What the kernel says of a process; `None` where it has ended, or there is no /proc.
pub fn memory(process: u32) -> Option<Memory> {
    parse(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

fn parse(status: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kilobytes * 1024)
    };
    Some(Memory {
        resident: field("VmRSS:")?,
        peak: field("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes_and_a_zombie_has_none() {
        let text = "Name:\tx\nVmHWM:\t   20 kB\nVmRSS:\t     10 kB\n";
        let expected = Memory {
            resident: 10 * 1024,
            peak: 20 * 1024,
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("Name:\tx\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn a_path_with_blanks_and_quotes_reaches_the_shell_whole() {
        let command = own_command(Path::new("/a b/it's"), Strategy::None, Path::new("/t"));
        assert!(
            command.starts_with(r"'/a b/it'\''s' --cache-strategy=none"),
            "{command}"
        );
    }
}
