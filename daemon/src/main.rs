//! `neo4j-operator`: the operator, and the two small commands that its backup pods run.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
#[cfg(feature = "jemalloc")]
use neo4j_operator::memory::allocator;
use neo4j_operator::{
    backup_run::{self, BackupRun},
    operator::{Given, Operator},
    settings::Settings,
    telemetry::log,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by the allocator before `main`.
#[cfg(feature = "jemalloc")]
#[allow(unsafe_code)] // a name that the linker sees: no other symbol has it but the allocator's own, which gives way
#[unsafe(export_name = "_rjem_malloc_conf")]
static START_CONFIGURATION: &[u8; allocator::START_CONFIGURATION.len()] = &allocator::START_CONFIGURATION;

/// Runs one backup in this pod and reports it in the termination message.
#[derive(Parser)]
#[command(name = "neo4j-operator backup-run")]
struct BackupRunCommand {
    #[command(flatten)]
    run: BackupRun,
}

/// Copies this program to a file that another container can run.
#[derive(Parser)]
#[command(name = "neo4j-operator copy-self")]
struct CopySelfCommand {
    /// The file
    to: PathBuf,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let ended = match arguments.get(1).and_then(|argument| argument.to_str()) {
        Some("backup-run") => return backup_run::run(&BackupRunCommand::parse_from(&arguments[1..]).run),
        Some("copy-self") => copy_self(&CopySelfCommand::parse_from(&arguments[1..])),
        _ => match Settings::read(&arguments) {
            Ok(settings) => operate(&settings),
            Err(error) => error.exit(),
        },
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn copy_self(command: &CopySelfCommand) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    std::fs::copy(program, &command.to).with_context(|| format!("cannot write {}", command.to.display()))?;
    Ok(())
}

#[tokio::main]
async fn operate(settings: &Settings) -> anyhow::Result<()> {
    let started = Instant::now();
    // Both TLS users of this process, the client of the API server and Bolt, take the default provider; with
    // none installed the latter would panic. An error means that it is installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let given = Given {
        log: log::install(&settings.log_level)?,
        ..Given::default()
    };
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let signalled = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(signalled);
    let operator = tokio::select! {
        operator = Operator::start(settings, given, started) => operator?,
        () = &mut signalled => return Ok(()),
    };
    signalled.await;
    tracing::info!("stopping");
    operator.stop().await;
    Ok(())
}
