//! The embedded cluster and the daemon in front of it, as processes.

use std::{
    ffi::OsStr,
    fs,
    future::Future,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};

use neo4j_operator::kube::transport::transport;

use super::process::{Process, ProcessError, Program};

/// How long a program may take until it serves.
pub(super) const START_LIMIT: Duration = Duration::from_secs(60);

/// Something of the stack did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file or socket.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The Kubernetes client.
    #[error("{what}: {source}")]
    Kube {
        /// What was done.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It runs but does not answer.
    #[error("{what} did not happen within {seconds} s")]
    Slow {
        /// What was waited for.
        what: String,
        /// The limit.
        seconds: u64,
    },
}

/// The embedded cluster.
pub struct Devcluster {
    /// The process.
    pub process: Process,
    /// Its kubeconfig.
    pub kubeconfig: PathBuf,
    /// A client with all rights.
    pub client: Client,
    /// Its audit log, where it writes one.
    pub audit: Option<PathBuf>,
}

/// How to start the daemon.
#[derive(Clone, Debug, Default)]
pub struct DaemonOptions {
    /// Further arguments.
    pub arguments: Vec<String>,
    /// 8081 to 8083 if they are free, as people expect them; else free ports.
    pub usual_ports: bool,
    /// These (health, metrics, control), as a daemon that is started again would have; else free ports.
    pub addresses: Option<[SocketAddr; 3]>,
}

/// The operator.
pub struct Daemon {
    /// The process.
    pub process: Process,
    /// `/metrics`.
    pub metrics: SocketAddr,
    /// `/healthz`, `/readyz`.
    pub health: SocketAddr,
    /// `/v1/…`.
    pub control: SocketAddr,
    /// The token of the control API.
    pub token_file: PathBuf,
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> StackError {
    let what = what.into();
    move |source| StackError::Io { what, source }
}

/// Asks again and again until there is an answer. The pause grows to 50 ms: conditions, not times, are waited for.
pub async fn wait_until<T, F, Fut>(what: &str, limit: Duration, mut ask: F) -> Result<T, StackError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>, StackError>>,
{
    let until = Instant::now() + limit;
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() >= until {
            return Err(StackError::Slow {
                what: what.to_owned(),
                seconds: limit.as_secs(),
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

// === impl Devcluster ===

impl Devcluster {
    /// Starts it on a free port with its files in `folder`, and waits until it serves.
    pub async fn start(folder: &Path) -> Result<Self, StackError> {
        Self::start_with(folder, None).await
    }

    /// The same with an audit log of all requests, which grows.
    pub async fn start_audited(folder: &Path) -> Result<Self, StackError> {
        Self::start_with(folder, Some(folder.join("audit.log"))).await
    }

    async fn start_with(folder: &Path, audit: Option<PathBuf>) -> Result<Self, StackError> {
        let kubeconfig = folder.join("kubeconfig");
        let mut arguments = vec![OsStr::new("serve"), OsStr::new("--kubeconfig"), kubeconfig.as_os_str()];
        if let Some(audit) = &audit {
            arguments.extend([OsStr::new("--audit-log"), audit.as_os_str()]);
        }
        let mut process = Process::start(Program::Devcluster, &arguments, &[], folder)?;
        wait_until("the kubeconfig of the embedded cluster", START_LIMIT, || {
            let there = process.check().map(|()| kubeconfig.is_file().then_some(()));
            async move { Ok(there?) }
        })
        .await?;
        let client = client_of(&kubeconfig, None).await?;
        Ok(Self {
            process,
            kubeconfig,
            client,
            audit,
        })
    }
}

/// A client for the cluster of a kubeconfig, by its current context unless another is chosen.
///
/// # Errors
/// If the file cannot be read, or holds nothing that a client can be made of.
pub async fn client_of(kubeconfig: &Path, context: Option<KubeConfigOptions>) -> Result<Client, StackError> {
    fn failed<E: std::error::Error + Send + Sync + 'static>(error: E) -> StackError {
        StackError::Kube {
            what: "a client from the kubeconfig",
            source: Box::new(error),
        }
    }
    let file = Kubeconfig::read_from(kubeconfig).map_err(failed)?;
    let config = Config::from_custom_kubeconfig(file, &context.unwrap_or_default())
        .await
        .map_err(failed)?;
    // As the operator's own: what it is timed against must not wait for acknowledgements either.
    let transport = transport(config).map_err(|error| failed(*error))?;
    Ok(transport.build())
}

/// Applies our custom resource definitions and waits until they are served.
pub async fn install_crds(client: &Client) -> Result<(), StackError> {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StackError {
        StackError::Kube {
            what: "custom resource definitions",
            source: Box::new(error),
        }
    }
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in neo4j_operator_crds::definition::definitions().map_err(failed)? {
        let name = definition.metadata.name.clone().unwrap_or_default();
        let parameters = PatchParams::apply("neo4j-operator-dev").force();
        api.patch(&name, &parameters, &Patch::Apply(&definition))
            .await
            .map_err(failed)?;
        let established = kube::runtime::conditions::is_crd_established();
        tokio::time::timeout(
            START_LIMIT,
            kube::runtime::wait::await_condition(api.clone(), &name, established),
        )
        .await
        .map_err(failed)?
        .map_err(failed)?;
    }
    Ok(())
}

// === impl Daemon ===

impl Daemon {
    /// Starts it against the cluster of a kubeconfig and waits until it is ready.
    pub async fn start(kubeconfig: &Path, folder: &Path, options: &DaemonOptions) -> Result<Self, StackError> {
        let [health, metrics, control] = match options.addresses {
            Some(addresses) => addresses,
            None => ports(options.usual_ports)?,
        };
        let token_folder = folder.join("token");
        let token_file = token_folder.join(format!("control-{}.token", control.port()));
        let mut arguments = vec![
            format!("--health-addr={health}"),
            format!("--metrics-addr={metrics}"),
            format!("--control-addr={control}"),
            "--endpoint-resolver=pod-ip".to_owned(),
        ];
        if options.usual_ports {
            // The usual place, so that a neotop in another terminal finds it by itself.
            fs::create_dir_all(folder).map_err(io(folder.display().to_string()))?;
        } else {
            arguments.push(format!("--control-token-file={}", token_file.display()));
        }
        arguments.extend(options.arguments.iter().cloned());
        let environment = [("KUBECONFIG", kubeconfig.as_os_str())];
        let process = Process::start(Program::Daemon, &arguments, &environment, folder)?;
        let token_file = if options.usual_ports {
            usual_token_file(control.port())
        } else {
            token_file
        };
        let mut daemon = Self {
            process,
            metrics,
            health,
            control,
            token_file,
        };
        daemon.wait_ready().await?;
        Ok(daemon)
    }

    /// Where it listens, for [`DaemonOptions::addresses`].
    pub const fn addresses(&self) -> [SocketAddr; 3] {
        [self.health, self.metrics, self.control]
    }

    /// Waits until `/readyz` says yes.
    pub async fn wait_ready(&mut self) -> Result<(), StackError> {
        let url = format!("http://{}/readyz", self.health);
        let process = &mut self.process;
        wait_until("the daemon being ready", START_LIMIT, || {
            let running = process.check();
            let url = url.clone();
            async move {
                running?;
                Ok(get(&url, None).await.filter(|(status, _)| *status == 200).map(|_| ()))
            }
        })
        .await
    }

    /// The body of `GET` on the control API.
    pub async fn control(&self, path: &str) -> Option<serde_json::Value> {
        let token = fs::read_to_string(&self.token_file).ok()?;
        let url = format!("http://{}{path}", self.control);
        let (status, body) = get(&url, Some(token.trim())).await?;
        (status == 200).then(|| serde_json::from_slice(&body).ok()).flatten()
    }

    /// The text of `/metrics`.
    pub async fn scrape(&self) -> Option<String> {
        let (_, body) = get(&format!("http://{}/metrics", self.metrics), None).await?;
        String::from_utf8(body.to_vec()).ok()
    }
}

fn usual_token_file(port: u16) -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    neo4j_operator_shared::token::file(runtime.as_deref(), rustix::process::getuid().as_raw(), port)
}

/// Free ports, all held until all are known, so that no two are the same.
fn ports(usual: bool) -> Result<[SocketAddr; 3], StackError> {
    let mut held = Vec::new();
    for port in [8081, 8082, 8083] {
        let wanted = if usual { port } else { 0 };
        let listener = TcpListener::bind(("127.0.0.1", wanted))
            .or_else(|_| TcpListener::bind(("127.0.0.1", 0)))
            .map_err(io("a free port on 127.0.0.1"))?;
        held.push(listener);
    }
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); 3];
    for (address, listener) in addresses.iter_mut().zip(&held) {
        *address = listener.local_addr().map_err(io("a free port on 127.0.0.1"))?;
    }
    Ok(addresses)
}

async fn get(url: &str, token: Option<&str>) -> Option<(u16, Bytes)> {
    let http: HttpClient<HttpConnector, Empty<Bytes>> = HttpClient::builder(TokioExecutor::new()).build_http();
    let mut request = http::Request::get(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Empty::new()).ok()?;
    let answer = tokio::time::timeout(Duration::from_secs(5), http.request(request))
        .await
        .ok()?
        .ok()?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    Some((status, body))
}
