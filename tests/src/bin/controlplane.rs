//! A real control plane to try things on by hand: starts it, says where its kubeconfig is, and ends it with C-c.

use clap::Parser;
use neo4j_operator_tests::{
    controlplane::{ControlPlane, Minor, Options},
    harness::install_crds,
};

/// Starts etcd, kube-apiserver and kube-controller-manager on 127.0.0.1 until it is interrupted.
#[derive(Debug, Parser)]
#[command(name = "controlplane")]
struct Arguments {
    /// Behave as this minor: 1.33, 1.34, 1.35 or 1.36
    #[arg(long)]
    emulate: Option<Minor>,
    /// Without kube-controller-manager
    #[arg(long)]
    without_controllers: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let options = Options {
        emulated: arguments.emulate,
        controllers: !arguments.without_controllers,
        ..Options::default()
    };
    let plane = ControlPlane::start(&options).await?;
    install_crds(&plane.client()).await?;
    println!("export KUBECONFIG={}", plane.kubeconfig().display());
    println!("# logs: {}; C-c ends it", plane.folder().display());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
