//! Where the programs of a control plane come from.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The programs of a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub apiserver: PathBuf,
    /// kube-controller-manager, where it was asked for.
    pub controllers: Option<PathBuf>,
}

/// A program is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// No folder was named.
    #[error(
        "no real control plane: run `make test-e2e`, or set CONTROLPLANE to the folder that \
         tests/controlplane/multicall/build.sh prints, or KUBEBUILDER_ASSETS to a folder with \
         etcd, kube-apiserver and kube-controller-manager"
    )]
    Folder,
    /// The folder lacks one.
    #[error("{variable}={folder} has no {program}")]
    Program {
        /// The environment variable that names the folder.
        variable: &'static str,
        /// The folder.
        folder: PathBuf,
        /// What is not in it.
        program: &'static str,
    },
}

impl Programs {
    /// Looks into the folder that `CONTROLPLANE`, else `KUBEBUILDER_ASSETS`, names.
    ///
    /// # Errors
    /// If neither is set, or a program is not in the folder.
    pub fn find(controllers: bool) -> Result<Self, Missing> {
        Self::find_with(controllers, std::env::var_os::<&str>)
    }

    /// kube-controller-manager alone.
    ///
    /// # Errors
    /// As [`Programs::find`].
    pub fn controllers() -> Result<PathBuf, Missing> {
        let (variable, folder) = folder(std::env::var_os::<&str>)?;
        in_folder(variable, &folder, "kube-controller-manager")
    }

    fn find_with(controllers: bool, environment: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, Missing> {
        let (variable, folder) = folder(environment)?;
        let program = |program| in_folder(variable, &folder, program);
        Ok(Self {
            etcd: program("etcd")?,
            apiserver: program("kube-apiserver")?,
            controllers: controllers.then(|| program("kube-controller-manager")).transpose()?,
        })
    }
}

/// The folder and the variable that names it.
fn folder(environment: impl Fn(&'static str) -> Option<OsString>) -> Result<(&'static str, PathBuf), Missing> {
    let named = |variable| {
        let folder = environment(variable).filter(|folder| !folder.is_empty())?;
        Some((variable, PathBuf::from(folder)))
    };
    named("CONTROLPLANE")
        .or_else(|| named("KUBEBUILDER_ASSETS"))
        .ok_or(Missing::Folder)
}

fn in_folder(variable: &'static str, folder: &Path, program: &'static str) -> Result<PathBuf, Missing> {
    let path = folder.join(program);
    if path.is_file() {
        return Ok(path);
    }
    Err(Missing::Program {
        variable,
        folder: folder.to_owned(),
        program,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(programs: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for program in programs {
            std::fs::write(folder.path().join(program), "").unwrap();
        }
        folder
    }

    #[test]
    fn the_built_folder_wins_over_the_assets_of_others() {
        let ours = folder_with(&["etcd", "kube-apiserver", "kube-controller-manager"]);
        let theirs = folder_with(&["etcd", "kube-apiserver"]);
        let find = |controlplane: Option<&Path>| {
            Programs::find_with(false, |name| match name {
                "CONTROLPLANE" => controlplane.map(|folder| folder.as_os_str().to_owned()),
                "KUBEBUILDER_ASSETS" => Some(theirs.path().as_os_str().to_owned()),
                _ => None,
            })
        };
        assert_eq!(find(Some(ours.path())).unwrap().etcd, ours.path().join("etcd"));
        assert_eq!(find(None).unwrap().etcd, theirs.path().join("etcd"));
        assert_eq!(find(Some(Path::new(""))).unwrap().etcd, theirs.path().join("etcd"));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(Programs::find_with(true, |_| None), Err(Missing::Folder));
        let theirs = folder_with(&["etcd", "kube-apiserver"]);
        let assets = |name| (name == "KUBEBUILDER_ASSETS").then(|| theirs.path().as_os_str().to_owned());
        let error = Programs::find_with(true, assets).unwrap_err().to_string();
        assert!(error.starts_with("KUBEBUILDER_ASSETS="), "{error}");
        assert!(error.ends_with("has no kube-controller-manager"), "{error}");
        assert_eq!(Programs::find_with(false, assets).unwrap().controllers, None);
    }
}
