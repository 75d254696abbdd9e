//! The processes of Neo4j pods and backup pods, for the kubelet: what [`FakeNeo4j`] does as a [`Runtime`].
//!
//! A pod is told by its labels. The annotation [`FAULT`] breaks it by hand for as long as it stands there: `crash` and `hang` on a
//! server, `partial`, `unreachable` and `crash` on a backup, `image` on any.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use k8s_openapi::api::core::v1::Pod;
use tokio_util::sync::CancellationToken;

use super::{
    backup::{Arguments, BackupFault},
    certificates::acceptor,
    fake::{FakeNeo4j, Slot},
    metrics_port,
    model::SYSTEM,
    pod::{Failed, Kind, Reader, Server as ServerStart},
    process::Process as Server,
};
use crate::controllers::runtime::{Exit, IssuedCertificate, Process, Runtime, StartError};

/// Annotation that breaks a pod.
pub const FAULT: &str = "devcluster.neo4j.com/fault";

/// Annotation on any Neo4j pod that sets the load of its cluster, as [`super::load::Load`] is written.
pub const LOAD: &str = "devcluster.neo4j.com/load";

fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    let annotations = pod.metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(key))
        .map(String::as_str)
}

fn fault(pod: &Pod) -> Option<&str> {
    annotation(pod, FAULT)
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

fn refused(reason: &str, message: impl std::fmt::Display) -> StartError {
    StartError {
        reason: reason.to_owned(),
        message: message.to_string(),
    }
}

impl FakeNeo4j {
    /// Starts a server: reads what its pod mounts, boots it in the model, opens its ports once it serves.
    async fn start_server(self: &Arc<Self>, pod: &Pod, cluster: &str, pool: &str) -> Result<(), StartError> {
        let read = Reader::new(&self.client, pod).server().await;
        let server = match read {
            Ok(server) => server,
            Err(Failed::Start(error)) => return Err(error),
            Err(Failed::Exit(message)) => {
                self.exits(pod, message);
                return Ok(());
            }
        };
        if let Some(message) = self.launch(uid(pod), cluster, pool, server).await? {
            self.exits(pod, message);
        }
        Ok(())
    }

    /// Starts a server without a pod object: for tests that need a cluster and no Kubernetes. Its address is that of a pod of this
    /// name; it serves TLS where there is a certificate.
    pub async fn boot(
        self: &Arc<Self>,
        namespace: &str,
        cluster: &str,
        pool: &str,
        server: ServerStart,
    ) -> Result<IpAddr, StartError> {
        let cluster = format!("{namespace}/{cluster}");
        let name = server.boot.pod.clone();
        let ip = self.address_of(&cluster, &name, Some(pool))?;
        match self
            .launch(&format!("{namespace}/{name}"), &cluster, pool, server)
            .await?
        {
            None => Ok(ip),
            Some(message) => Err(refused("Error", message)),
        }
    }

    /// Boots a server in the model and runs its process; a message says why it ended at once.
    async fn launch(
        self: &Arc<Self>,
        uid: &str,
        cluster: &str,
        pool: &str,
        server: ServerStart,
    ) -> Result<Option<String>, StartError> {
        let tls = server.tls.map(|tls| acceptor(&tls.certificate, &tls.key)).transpose();
        let tls = match tls {
            Ok(tls) => tls,
            Err(error) => return Ok(Some(format!("Failed to load SSL policy 'bolt': {error}"))),
        };
        let name = server.boot.pod.clone();
        let ip = self.address_of(cluster, &name, Some(pool))?;
        let _one_at_a_time = self.boots.lock().await;
        self.forget_lost_volumes(cluster, &server.boot.volume).await?;
        let handle = self.cluster_or_new(cluster);
        let namespace = cluster.split('/').next().unwrap_or_default();
        self.remember_volume(&server.boot.volume, namespace, server.claim);
        let names = vec![name, server.boot.host.clone(), ip.to_string()];
        let version = server.boot.version.clone();
        let id = handle.with(|cluster, now| cluster.process_started(server.boot, now));
        let process = Server::new(id, handle, names, &version);
        self.place(uid, Slot::Server(Arc::clone(&process)));
        tokio::spawn(run(Arc::clone(self), process, uid.to_owned(), ip, tls));
        Ok(None)
    }

    /// The process starts and ends at once, saying why.
    fn exits(&self, pod: &Pod, message: String) {
        self.set(uid(pod), Slot::Exited(Exit::failed(1, message)));
    }

    /// Starts a backup, which ends by itself.
    async fn start_backup(self: &Arc<Self>, pod: &Pod, cluster: &str) -> Result<(), StartError> {
        let arguments = match Arguments::of(pod) {
            Ok(arguments) => arguments,
            // As the program itself ends when it does not understand its arguments.
            Err(error) => {
                self.set(uid(pod), Slot::Exited(Exit::failed(2, error)));
                return Ok(());
            }
        };
        let (volume, _) = Reader::new(&self.client, pod).volume().await?;
        let handle = self.cluster_or_new(cluster);
        let fault = match fault(pod) {
            Some("partial") => Some(BackupFault::Partial(BTreeSet::from([SYSTEM.to_owned()]))),
            Some("unreachable") => Some(BackupFault::Unreachable),
            Some("crash") => Some(BackupFault::Killed),
            _ => self.backup_fault(cluster),
        };
        let stop = CancellationToken::new();
        let (fake, uid, stopped) = (Arc::clone(self), uid(pod).to_owned(), stop.clone());
        // In its place before it runs, so that its end is not overwritten.
        self.place(&uid, Slot::Backup(stop));
        tokio::spawn(async move {
            let speed = fake.options.backup_bytes_per_second;
            let backup = fake.backups.run(&arguments, &volume, &handle, speed, fault);
            let exit = stopped.run_until_cancelled(backup).await;
            let exit = exit.unwrap_or_else(|| Exit::failed(143, "stopped before it was done"));
            fake.set(&uid, Slot::Exited(exit));
        });
        Ok(())
    }
}

/// Waits until the server serves, then listens until its process ends.
async fn run(
    fake: Arc<FakeNeo4j>,
    process: Arc<Server>,
    uid: String,
    ip: IpAddr,
    tls: Option<tokio_rustls::TlsAcceptor>,
) {
    if !process.started().await {
        return;
    }
    if !fake.options.listen {
        process.ready_without_port();
        fake.changed.notify_one();
        return;
    }
    let metrics = Arc::clone(&process);
    let ready = async {
        process.ready().await;
        fake.changed.notify_one();
        std::future::pending::<()>().await;
    };
    let listening =
        async { tokio::try_join!(Arc::clone(&process).listen(ip, tls), metrics_port::listen(metrics, ip)).map(|_| ()) };
    tokio::select! {
        ended = listening => {
            if let Err(error) = ended {
                process.end();
                let message = format!("Failed to bind a port of {ip}: {error}");
                fake.set(&uid, Slot::Exited(Exit::failed(1, message)));
            }
        }
        () = ready => {}
    }
}

/// The [`Runtime`] of a fake: what is given to the controllers.
#[derive(Clone)]
pub struct NeoRuntime(pub Arc<FakeNeo4j>);

impl Runtime for NeoRuntime {
    fn address(&self, pod: &Pod) -> Result<IpAddr, StartError> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match Kind::of(pod) {
            Kind::Server { cluster, pool } => self.0.address_of(&cluster, name, Some(&pool)),
            Kind::Backup { cluster } => self.0.address_of(&cluster, name, None),
            Kind::Other => self.0.address_of("", name, None),
        }
    }

    fn start<'a>(&'a self, pod: &'a Pod, _attempt: u32) -> BoxFuture<'a, Result<(), StartError>> {
        async move {
            if fault(pod) == Some("image") {
                return Err(refused(
                    "ErrImagePull",
                    "the pod's fault annotation says that its image cannot be pulled",
                ));
            }
            match Kind::of(pod) {
                Kind::Server { cluster, pool } => self.0.start_server(pod, &cluster, &pool).await,
                Kind::Backup { cluster } => self.0.start_backup(pod, &cluster).await,
                Kind::Other => {
                    self.0.place(uid(pod), Slot::other(pod));
                    Ok(())
                }
            }
        }
        .boxed()
    }

    fn observe(&self, pod: &Pod) -> Process {
        let Some(slot) = self.0.slot(uid(pod)) else {
            return Process::Exited(Exit::failed(137, "no such process"));
        };
        match slot {
            Slot::Exited(exit) => Process::Exited(exit),
            Slot::Backup(_) | Slot::Other => Process::Running { ready: true },
            Slot::Server(process) => {
                process.load_by_annotation(annotation(pod, LOAD));
                match fault(pod) {
                    Some("crash") => process.end(),
                    Some("hang") => process.hang_by_annotation(true),
                    _ => process.hang_by_annotation(false),
                }
                if process.has_ended() {
                    return Process::Exited(Exit::failed(1, "Neo4j stopped unexpectedly."));
                }
                // A hung process accepts connections as long as its backlog lasts: the probe does not see it.
                Process::Running {
                    ready: process.is_ready(),
                }
            }
        }
    }

    fn stop<'a>(&'a self, pod: &'a Pod, grace: Duration) -> BoxFuture<'a, ()> {
        async move {
            let Some(slot) = self.0.slot(uid(pod)) else { return };
            match slot {
                Slot::Server(process) => {
                    // A hung process does not hear SIGTERM; it is killed when the grace is over.
                    let shutdown = async {
                        process.continues().await;
                        tokio::time::sleep(self.0.options.stop).await;
                    };
                    let orderly = tokio::time::timeout(grace, shutdown).await.is_ok();
                    process.end();
                    let code = if orderly { 0 } else { 137 };
                    self.0.set(
                        uid(pod),
                        Slot::Exited(Exit {
                            code,
                            ..Exit::completed()
                        }),
                    );
                }
                Slot::Backup(stop) => {
                    stop.cancel();
                    self.0
                        .set(uid(pod), Slot::Exited(Exit::failed(143, "stopped before it was done")));
                }
                Slot::Other => self.0.set(uid(pod), Slot::Exited(Exit::completed())),
                Slot::Exited(_) => {}
            }
        }
        .boxed()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.0.changed.notified().boxed()
    }

    fn certificate(&self, namespace: &str, cluster: &str) -> Option<IssuedCertificate> {
        self.0.certificate(namespace, cluster).ok()
    }
}
