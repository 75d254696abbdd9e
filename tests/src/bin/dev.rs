//! The launcher behind `make dev-dashboard`, `make dev-start` and its kind: an embedded
//! cluster, the operator in front of it, and neotop with a small live workload, all on loopback.
//!
//! It leaves nothing behind: its files are in a temporary folder, and every process ends with it, however it
//! ends. Where a daemon already answers on the usual port, the dashboard attaches to that one instead.

use std::{
    io::{IsTerminal as _, Read as _, Seek as _, Write as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use neo4j_operator_shared::Strategy;
use neo4j_operator_tests::{
    harness::{Daemon, DaemonOptions, Devcluster, Program, install_crds},
    workload,
};
use tokio::signal::unix::{SignalKind, signal};

/// Where a daemon is looked for before one is started.
const USUAL_CONTROL: &str = "http://127.0.0.1:8083";
/// How long the dashboard runs where there is no terminal.
const UNATTENDED: Duration = Duration::from_secs(20);

#[derive(Parser)]
#[command(about = "Starts the operator on an embedded cluster, for development")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The dashboard, live; without a terminal 20 s of it and one report
    Dashboard,
    /// The operator alone, its log in this terminal
    Start {
        /// How it caches
        #[arg(long, default_value_t = Strategy::Selective)]
        strategy: Strategy,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = tokio::select! {
        ended = run(arguments) => ended,
        () = interrupted() => {
            eprintln!("\ninterrupted: everything that was started is being stopped");
            Ok(())
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() {
    // A terminal that is closed sends SIGHUP.
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let signals = kinds.into_iter().filter_map(|kind| signal(kind).ok());
    let received = signals.map(|mut signal| Box::pin(async move { signal.recv().await }));
    futures::future::select_all(received).await;
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(context) = std::env::var("CONTEXT").ok().filter(|context| !context.is_empty()) {
        bail!(
            "CONTEXT={context}: attaching to a real cluster comes in a later version; nothing was started, and \
             no cluster was touched. Without CONTEXT an embedded cluster is used"
        );
    }
    match arguments.what {
        What::Dashboard => dashboard().await,
        What::Start { strategy } => start(strategy).await,
    }
}

/// Whether a daemon answers on the usual port, with the token that it left for us.
fn daemon_answers() -> anyhow::Result<bool> {
    let probe = Command::new(Program::Neotop.path()?)
        .args(["--url", USUAL_CONTROL, "--once"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot start neotop")?;
    Ok(probe.success())
}

struct Stack {
    // Dropped in this order: the daemon ends before the cluster it writes to.
    daemon: Daemon,
    cluster: Devcluster,
    folder: tempfile::TempDir,
}

async fn start_stack(strategy: Strategy) -> anyhow::Result<Stack> {
    let folder = tempfile::Builder::new().prefix("neo4j-operator-dev-").tempdir()?;
    let cluster = Devcluster::start(folder.path()).await?;
    install_crds(&cluster.client).await?;
    eprintln!("embedded cluster: KUBECONFIG={}", cluster.kubeconfig.display());
    let options = DaemonOptions {
        arguments: vec![format!("--cache-strategy={strategy}")],
        usual_ports: true,
        addresses: None,
    };
    let daemon = Daemon::start(&cluster.kubeconfig, folder.path(), &options).await?;
    eprintln!(
        "operator ({strategy}): metrics http://{}/metrics, health http://{}/readyz, control http://{}",
        daemon.metrics, daemon.health, daemon.control
    );
    Ok(Stack {
        daemon,
        cluster,
        folder,
    })
}

async fn dashboard() -> anyhow::Result<()> {
    let attended = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if daemon_answers()? {
        eprintln!("a daemon answers on {USUAL_CONTROL}: attaching to it, nothing else is started");
        let url = ["--url".to_owned(), USUAL_CONTROL.to_owned()];
        if attended {
            return neotop(&url, None).await;
        }
        tokio::time::sleep(UNATTENDED).await;
        return report(&url);
    }
    let mut stack = start_stack(Strategy::Selective).await?;
    let log = stack.folder.path().join("workload.log");
    let work = tokio::spawn(workload::run(stack.cluster.client.clone(), log));
    let arguments = [
        "--url".to_owned(),
        format!("http://{}", stack.daemon.control),
        "--token-file".to_owned(),
        stack.daemon.token_file.display().to_string(),
    ];
    let ended = if attended {
        neotop(&arguments, Some(&mut stack)).await
    } else {
        eprintln!("no terminal: running {} s, then one report", UNATTENDED.as_secs());
        let until = tokio::time::Instant::now() + UNATTENDED;
        while tokio::time::Instant::now() < until {
            stack.check()?;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        report(&arguments)
    };
    work.abort();
    ended
}

impl Stack {
    fn check(&mut self) -> anyhow::Result<()> {
        self.cluster.process.check()?;
        self.daemon.process.check()?;
        Ok(())
    }
}

/// Runs neotop in this terminal until it ends, or until a process behind it does.
async fn neotop(arguments: &[String], mut stack: Option<&mut Stack>) -> anyhow::Result<()> {
    let mut child = tokio::process::Command::new(Program::Neotop.path()?)
        .args(arguments)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start neotop")?;
    loop {
        tokio::select! {
            ended = child.wait() => {
                let status = ended?;
                if status.success() {
                    return Ok(());
                }
                bail!("neotop ended with {status}");
            }
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                let Some(Err(error)) = stack.as_mut().map(|stack| stack.check()) else { continue };
                terminate(&child);
                // It gives the terminal back before it ends.
                let _ = tokio::time::timeout(Duration::from_secs(2), child.wait()).await;
                return Err(error);
            }
        }
    }
}

fn terminate(child: &tokio::process::Child) {
    let pid = child
        .id()
        .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // If it has ended already there is nothing to do.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

fn report(arguments: &[String]) -> anyhow::Result<()> {
    let status = Command::new(Program::Neotop.path()?)
        .args(arguments)
        .arg("--once")
        .stdin(Stdio::null())
        .status()
        .context("cannot start neotop")?;
    if !status.success() {
        bail!("neotop --once ended with {status}");
    }
    Ok(())
}

async fn start(strategy: Strategy) -> anyhow::Result<()> {
    let mut stack = start_stack(strategy).await?;
    eprintln!(
        "another terminal: KUBECONFIG={} kubectl apply -f crds/examples/minimal.yaml",
        stack.cluster.kubeconfig.display()
    );
    eprintln!(
        "another terminal: cargo run -p neotop -- --url http://{}",
        stack.daemon.control
    );
    eprintln!("C-c ends all of it");
    let log = stack.folder.path().join("neo4j-operator.log");
    let mut shown = 0;
    loop {
        shown = show_from(&log, shown)?;
        stack.check()?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Copies what was added to a file since `from` to standard output.
fn show_from(path: &Path, from: u64) -> anyhow::Result<u64> {
    let mut file = std::fs::File::open(path)?;
    file.seek(std::io::SeekFrom::Start(from))?;
    let mut added = Vec::new();
    file.read_to_end(&mut added)?;
    std::io::stdout().write_all(&added)?;
    Ok(from + added.len() as u64)
}
