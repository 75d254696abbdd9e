//! `devcluster`: the embedded cluster as a program, for people with kubectl and for other processes.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use neo4j_devcluster::{
    auditlog,
    cluster::{Cluster, Options, Pods},
    controllers::plain::PlainRuntime,
    neo4j,
    node::Node,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// An embedded Kubernetes cluster with a fake Neo4j.
#[derive(Debug, Parser)]
#[command(name = "devcluster", version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a cluster on loopback until SIGINT or SIGTERM.
    Serve(Serve),
    /// Is the node of another cluster, with a fake Neo4j in its pods, until SIGINT or SIGTERM.
    Node(Join),
}

#[derive(Debug, Args)]
struct Serve {
    /// Where to write the kubeconfig once the cluster is ready; removed at exit.
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// The port to listen on; 0 takes any that is free.
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// Writes every request to a file, one JSON line each, as kube-apiserver's audit log has them.
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Pods run nothing: they are ready at once, and those of Jobs succeed at once.
    #[arg(long)]
    no_neo4j: bool,
    /// Installs the custom resource definitions at start: those that are built in, or those of a folder of YAML or JSON files.
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    #[allow(clippy::option_option)] // how clap tells an option without its value
    install_crds: Option<Option<PathBuf>>,
}

#[derive(Debug, Args)]
struct Join {
    /// A kubeconfig with all rights on that cluster.
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    let outcome = match &cli.command {
        Command::Serve(serve) => run(serve),
        Command::Node(join) => be_a_node(join),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A person reads this, or the log of a script: one line with all of the causes.
            let _ = writeln!(io::stderr(), "devcluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(serve: &Serve) -> anyhow::Result<()> {
    check_folder(&serve.kubeconfig)?;
    let definitions = match &serve.install_crds {
        Some(Some(folder)) => read_definitions(folder)?,
        Some(None) => {
            neo4j_operator_crds::definition::definitions().context("the built-in definitions do not hold together")?
        }
        None => Vec::new(),
    };
    let listener = serve
        .audit_log
        .as_deref()
        .map(|file| auditlog::to_file(file).with_context(|| format!("cannot write the audit log {}", file.display())));
    let options = Options {
        listener: listener.transpose()?,
        ..Options::on_loopback(pods(serve), serve.port)
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    runtime.block_on(async {
        let ended = signals()?;
        tokio::pin!(ended);
        let cluster = tokio::select! {
            cluster = Cluster::start(options) => cluster?,
            () = &mut ended => return Ok(()),
        };
        let outcome = async {
            cluster.define(&definitions).await?;
            let kubeconfig = cluster.kubeconfig().context("the cluster listens nowhere")?;
            let file = Kubeconfig::write(&serve.kubeconfig, &kubeconfig)?;
            let address = cluster.address().context("the cluster listens nowhere")?;
            let mut out = io::stdout();
            writeln!(
                out,
                "devcluster serves http://{address}, KUBECONFIG={}",
                file.0.display()
            )
            .and_then(|()| out.flush())
            .context("cannot say where the cluster is")?;
            anyhow::Ok(file)
        };
        let file = tokio::select! { file = outcome => Some(file), () = &mut ended => None };
        if matches!(file, Some(Ok(_))) {
            ended.await;
        }
        // The file goes first: who finds it finds a cluster.
        let outcome = file.transpose().map(drop);
        cluster.stop().await;
        outcome
    })
}

fn be_a_node(join: &Join) -> anyhow::Result<()> {
    let file = kube::config::Kubeconfig::read_from(&join.kubeconfig)
        .with_context(|| format!("cannot read {}", join.kubeconfig.display()))?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    runtime.block_on(async {
        let ended = signals()?;
        tokio::pin!(ended);
        let start = async {
            let context = kube::config::KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(file, &context).await;
            let config = config.context("the kubeconfig names no cluster")?;
            let client = kube::Client::try_from(config).context("cannot reach the cluster")?;
            anyhow::Ok(Node::start(client).await?)
        };
        let node = tokio::select! { node = start => node?, () = &mut ended => return Ok(()) };
        let mut out = io::stdout();
        writeln!(out, "devcluster is a node")
            .and_then(|()| out.flush())
            .context("cannot say that it runs")?;
        ended.await;
        node.stop().await;
        Ok(())
    })
}

/// Resolves at SIGINT or SIGTERM. Taken before anything is started: from then on a signal ends it in order.
fn signals() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    Ok(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    })
}

/// Who plays the processes of pods.
fn pods(serve: &Serve) -> Pods {
    if serve.no_neo4j {
        Pods::Played(Arc::new(PlainRuntime::default()))
    } else {
        Pods::Neo4j(neo4j::fake::Options::default())
    }
}

fn check_folder(file: &Path) -> anyhow::Result<()> {
    let folder = folder_of(file);
    if !folder.is_dir() {
        bail!("the folder {} of --kubeconfig does not exist", folder.display());
    }
    if file.is_dir() {
        bail!("--kubeconfig {} is a folder", file.display());
    }
    Ok(())
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn read_definitions(folder: &Path) -> anyhow::Result<Vec<CustomResourceDefinition>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| {
        matches!(
            file.extension().and_then(|name| name.to_str()),
            Some("yaml" | "yml" | "json")
        )
    });
    files.sort();
    if files.is_empty() {
        bail!("no YAML or JSON files in {}", folder.display());
    }
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_saphyr::from_str(&text).with_context(|| format!("{} is no custom resource definition", file.display()))
    };
    files.iter().map(read).collect()
}

/// The kubeconfig file, there exactly as long as the cluster is.
struct Kubeconfig(PathBuf);

impl Kubeconfig {
    /// Writes it whole or not at all, readable for its owner only: it carries the token.
    fn write(file: &Path, text: &str) -> anyhow::Result<Self> {
        let mut partial = file.as_os_str().to_owned();
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = PathBuf::from(partial);
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .and_then(|mut open| open.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&partial, file));
        if let Err(error) = written {
            let _ = fs::remove_file(&partial);
            return Err(error).with_context(|| format!("cannot write {}", file.display()));
        }
        Ok(Self(file.to_owned()))
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
