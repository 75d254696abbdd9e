//! The folders of host-path volumes, taken away with the node.
//!
//! kube-controller-manager's host-path provisioner makes an empty folder on this machine for every volume, and removes it with the
//! volume. Volumes that are still there when the whole cluster is thrown away would leave theirs behind.

use std::{fs, path::Path};

use k8s_openapi::api::core::v1::PersistentVolume;
use tokio_util::sync::CancellationToken;

use super::Context;

/// Where that provisioner makes its folders.
const FOLDER: &str = "/tmp/hostpath_pv";

/// Waits for `stop` and removes the folders of the volumes that are known then.
pub(super) async fn run(context: Context, stop: CancellationToken) {
    stop.cancelled().await;
    for volume in context.views.volumes.all() {
        if let Some(folder) = folder_of(&volume) {
            // Only where it is empty: nothing of ours writes into it.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The folder that the provisioner made for a volume, if it did.
fn folder_of(volume: &PersistentVolume) -> Option<&Path> {
    let path = Path::new(&volume.spec.as_ref()?.host_path.as_ref()?.path);
    (path.parent()? == Path::new(FOLDER)).then_some(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_folders_of_the_provisioner_are_taken_away() {
        let folder = |path: &str| {
            let volume = json!({"metadata": {"name": "v"}, "spec": {"hostPath": {"path": path}}});
            let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
            folder_of(&volume).map(Path::to_owned)
        };
        assert_eq!(
            folder("/tmp/hostpath_pv/1-2").as_deref(),
            Some(Path::new("/tmp/hostpath_pv/1-2"))
        );
        assert_eq!(folder("/tmp/hostpath_pv"), None);
        assert_eq!(folder("/tmp/hostpath_pv/a/b"), None);
        assert_eq!(folder("/home/somebody"), None);
    }
}
