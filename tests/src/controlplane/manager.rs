//! kube-controller-manager alone, on an API server that is not kube-apiserver.

use std::{net::TcpListener, path::Path};

use kube::Client;

use super::{ControlPlaneError, Programs, controllers_work, create_storage_class, failed_io, files, flags, start};
use crate::harness::Process;

/// A running kube-controller-manager. Dropping it kills it.
#[derive(Debug)]
pub struct ControllerManager {
    /// The process.
    pub process: Process,
    /// Its files and log; last, so that it outlives the process.
    folder: tempfile::TempDir,
}

impl ControllerManager {
    /// Starts it on the server of this kubeconfig and waits until it works.
    ///
    /// It speaks JSON: of protobuf our server reads a few kinds only. All controllers act as the user of the kubeconfig.
    ///
    /// # Errors
    /// If the program is missing or does not come up.
    pub async fn start(client: &Client, kubeconfig: &str) -> Result<Self, ControlPlaneError> {
        let program = Programs::controllers()?;
        let folder = files::folder()?;
        let path = folder.path().join("admin.kubeconfig");
        std::fs::write(&path, kubeconfig).map_err(failed_io(&path.display().to_string()))?;
        let port = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|held| held.local_addr())
            .map_err(failed_io("a free port on 127.0.0.1"))?
            .port();
        let arguments = flags::controllers_elsewhere(&path, port);
        let mut process = start("kube-controller-manager", &program, &arguments, folder.path())?;
        controllers_work(client, &mut process).await?;
        create_storage_class(client).await?;
        Ok(Self { process, folder })
    }

    /// Where its log lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
