//! Our operator as a process, and its control API.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use kube::{Client, Config, config::AuthInfo};
use neo4j_operator_shared::{
    Strategy,
    cache::Cache,
    status::Status,
    switch::{Operation, OperationState, Strategies, SwitchRecord, SwitchRequest, Wanted},
};
use neo4j_operator_tests::{
    controlplane::ControlPlane,
    harness::{Ending, Process, wait_until},
    rights::{self, Scope},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::arguments::Arguments;
use crate::compare::candidate::{Memory, memory};

/// Where its ServiceAccount lives.
const HOME: &str = "bench-operator";
/// How long a start or a change may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Its memory limit: no table is to be about a limit.
const LIMIT: &str = "8G";

/// Makes processes of our operator.
pub struct Maker {
    own: PathBuf,
    kubeconfig: PathBuf,
    folder: PathBuf,
    /// The user that the server's audit log has for them.
    pub user: String,
}

/// A running operator.
pub struct Daemon {
    process: Process,
    client: Client,
    changes: u32,
}

impl Maker {
    /// An identity for the operator on this control plane.
    ///
    /// # Errors
    /// If our program is not there, or the server refuses an identity for it.
    pub async fn new(arguments: &Arguments, plane: &ControlPlane) -> anyhow::Result<Self> {
        let own = arguments
            .own
            .canonicalize()
            .with_context(|| format!("no operator at {}: run `make bench-tables`", arguments.own.display()))?;
        neo4j_operator_tests::harness::install_crds(&plane.client()).await?;
        let folder = plane.folder().to_owned();
        let kubeconfig =
            rights::operator_kubeconfig(&plane.client(), plane.kubeconfig(), Scope::Cluster(HOME), &folder).await?;
        let user = rights::user(HOME);
        Ok(Self {
            own,
            kubeconfig,
            folder,
            user,
        })
    }

    /// Starts it in this strategy.
    ///
    /// # Errors
    /// If there is no free port, or it cannot be started.
    pub async fn start(&self, strategy: Strategy) -> anyhow::Result<Daemon> {
        self.start_with(strategy, &[]).await
    }

    /// The same, with further arguments.
    ///
    /// # Errors
    /// As [`Maker::start`].
    pub async fn start_with(&self, strategy: Strategy, more: &[String]) -> anyhow::Result<Daemon> {
        let control = free()?;
        let token = self.folder.join("tables.token");
        let mut arguments = vec![
            format!("--cache-strategy={strategy}"),
            "--cache-switch-pause=0s".to_owned(),
            format!("--memory-limit={LIMIT}"),
            "--metrics-addr=127.0.0.1:0".to_owned(),
            "--health-addr=127.0.0.1:0".to_owned(),
            format!("--control-addr={control}"),
            format!("--control-token-file={}", token.display()),
        ];
        arguments.extend_from_slice(more);
        let environment = [("KUBECONFIG", self.kubeconfig.as_os_str())];
        let mut process = Process::start_at(
            "operator",
            &self.own,
            Ending::Asked,
            &arguments,
            &environment,
            &self.folder,
        )?;
        let secret = wait_until("the token of the control API", PATIENCE, || {
            let running = process.check();
            let read = fs::read_to_string(&token).ok().filter(|text| !text.trim().is_empty());
            async move {
                running?;
                Ok(read)
            }
        })
        .await?;
        let mut config = Config::new(format!("http://{control}").parse()?);
        let auth: AuthInfo = serde_json::from_value(json!({"token": secret.trim()}))?;
        config.auth_info = auth;
        Ok(Daemon {
            process,
            client: Client::try_from(config)?,
            changes: 0,
        })
    }
}

/// A port that nobody listens on.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

impl Daemon {
    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let request = http::Request::get(path).body(Vec::new())?;
        self.client
            .request(request)
            .await
            .with_context(|| format!("GET {path}"))
    }

    /// Waits until it is ready; the answer is its own time from the start of the process, in seconds.
    ///
    /// # Errors
    /// If it ends, or is not ready in time.
    pub async fn ready(&mut self) -> anyhow::Result<f64> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.process.check()?;
            // Not listening yet is no error before its time is up.
            if let Ok(status) = self.get::<Status>("/v1/status").await {
                let phase = status.startup.iter().find(|phase| phase.phase == "ready");
                if let Some(seconds) = phase.and_then(|phase| phase.seconds) {
                    return Ok(seconds);
                }
            }
            anyhow::ensure!(Instant::now() < until, "not ready within {} s", PATIENCE.as_secs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The phases of its start, for people.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn phases(&self) -> anyhow::Result<String> {
        let status: Status = self.get("/v1/status").await?;
        let phases = status.startup.iter();
        let phases = phases.filter_map(|phase| Some(format!("{} {:.0} ms", phase.phase, phase.seconds? * 1e3)));
        Ok(phases.collect::<Vec<_>>().join(", "))
    }

    /// What it keeps, and how reads were answered.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn cache(&self) -> anyhow::Result<Cache> {
        self.get("/v1/cache").await
    }

    /// Its memory now.
    ///
    /// # Errors
    /// If it has ended, or there is no /proc.
    pub fn memory(&mut self) -> anyhow::Result<Memory> {
        self.process.check()?;
        memory(self.process.id()).context("the operator has no memory: is there a /proc?")
    }

    /// Changes the strategy and waits until that is done; the answer says how long it took by its own account.
    ///
    /// # Errors
    /// If it is refused, or ends otherwise than by being done.
    pub async fn switch(&mut self, strategy: Strategy) -> anyhow::Result<Operation> {
        self.changes += 1;
        let body = SwitchRequest {
            strategy: Wanted::Strategy(strategy),
            kinds: None,
            dry_run: false,
            rollback_after: None,
        };
        let request = http::Request::put("/v1/cache/strategy")
            .header("content-type", "application/json")
            .header("idempotency-key", format!("tables-{}", self.changes))
            .body(serde_json::to_vec(&body)?)?;
        let mut operation: Operation = self.client.request(request).await?;
        let until = Instant::now() + PATIENCE;
        while operation.state == OperationState::Preparing {
            anyhow::ensure!(
                Instant::now() < until,
                "a change took longer than {} s",
                PATIENCE.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
            if self.cache().await?.operation.is_some() {
                continue;
            }
            let known: Strategies = self.get("/v1/cache/strategies").await?;
            let mut ended = known.record.into_iter().map(|record| record.operation);
            if let Some(ended) = ended.find(|ended| ended.id == operation.id) {
                operation = ended;
            }
        }
        anyhow::ensure!(operation.state == OperationState::Done, "{operation:?}");
        Ok(operation)
    }

    /// Waits for the first outcome of a change.
    ///
    /// # Errors
    /// If there is none within this time.
    pub async fn outcome(&mut self, id: &str, patience: Duration) -> anyhow::Result<SwitchRecord> {
        let until = Instant::now() + patience;
        loop {
            self.process.check()?;
            let known: Strategies = self.get("/v1/cache/strategies").await?;
            let mut records = known.record.into_iter();
            let ended = records.find(|record| record.operation.id == id && !record.outcomes.is_empty());
            if let Some(record) = ended {
                return Ok(record);
            }
            let late = format!("nothing came of {id} within {} s", patience.as_secs());
            anyhow::ensure!(Instant::now() < until, late);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// If the runtime is gone.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        tokio::task::spawn_blocking(move || self.process.stop()).await?;
        Ok(())
    }
}
