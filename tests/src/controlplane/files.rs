//! The files of a control plane: its authority, the server's pair, the key of ServiceAccount tokens, the tokens of
//! people, the audit policy, and kubeconfigs. All in one folder that is the owner's alone.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use kube::config::Kubeconfig;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use serde_json::{Value, json};

use super::{ControlPlaneError, failed_io};

pub(super) const CA_CRT: &str = "ca.crt";
pub(super) const SERVER_CRT: &str = "server.crt";
pub(super) const SERVER_KEY: &str = "server.key";
pub(super) const ACCOUNTS_KEY: &str = "accounts.key";
pub(super) const ACCOUNTS_PUB: &str = "accounts.pub";
pub(super) const TOKENS: &str = "tokens.csv";
pub(super) const AUDIT_POLICY: &str = "audit-policy.json";
pub(super) const AUDIT_LOG: &str = "audit.log";
pub(super) const CONTROLLERS_KUBECONFIG: &str = "controllers.kubeconfig";
const ADMIN_KUBECONFIG: &str = "admin.kubeconfig";

/// Folders are `<prefix><process id>-<random>`, so that those of killed runs are known.
const PREFIX: &str = "neo4j-operator-controlplane-";
/// Where a memory disk usually is; etcd and its log need some hundred MB.
const MEMORY_DISK: &str = "/dev/shm";

/// People of the test: name, groups. The operator is none of them; it has a ServiceAccount.
const PEOPLE: [(&str, &str, &str); 2] = [
    ("admin", "admin", "system:masters"),
    (
        "controllers",
        "system:kube-controller-manager",
        "system:kube-controller-manager",
    ),
];

/// A new empty folder, readable by us alone.
pub(super) fn folder() -> Result<tempfile::TempDir, ControlPlaneError> {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    // A memory disk that cannot be written to is as good as none.
    builder
        .tempdir_in(MEMORY_DISK)
        .or_else(|_| builder.tempdir())
        .map_err(failed_io("a temporary folder"))
}

/// Removes the folders of runs whose process is gone: nobody else will.
pub(super) fn remove_leftovers() {
    for place in [PathBuf::from(MEMORY_DISK), std::env::temp_dir()] {
        let entries = fs::read_dir(place).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            if name.to_str().and_then(owner).is_some_and(|process| !runs(process)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// The process that made a folder of this name; `None` if the folder is not one of ours.
fn owner(name: &str) -> Option<i32> {
    let (process, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    process.parse().ok()
}

fn runs(process: i32) -> bool {
    let Some(process) = rustix::process::Pid::from_raw(process) else {
        return false;
    };
    // "Not permitted" means that it is there and another's.
    rustix::process::test_kill_process(process) != Err(rustix::io::Errno::SRCH)
}

pub(super) fn admin_kubeconfig(folder: &Path) -> PathBuf {
    folder.join(ADMIN_KUBECONFIG)
}

pub(super) fn audit(folder: &Path) -> PathBuf {
    folder.join(AUDIT_LOG)
}

/// Everything that the programs read.
pub(super) fn write_all(folder: &Path, port: u16) -> Result<(), ControlPlaneError> {
    let authority = Authority::new()?;
    let (server_crt, server_key) = authority.server()?;
    let accounts = KeyPair::generate()?;
    let write = |name: &str, text: &str| write(folder, name, text.as_bytes());
    write(CA_CRT, &authority.certificate)?;
    write(SERVER_CRT, &server_crt)?;
    write(SERVER_KEY, &server_key)?;
    write(ACCOUNTS_KEY, &accounts.serialize_pem())?;
    write(ACCOUNTS_PUB, &accounts.public_key_pem())?;
    write(AUDIT_POLICY, &audit_policy().to_string())?;

    let mut tokens = String::new();
    for (name, user, group) in PEOPLE {
        let token = uuid::Uuid::new_v4().simple().to_string();
        tokens.extend([&token, ",", user, ",", name, ",\"", group, "\"\n"]);
        let kubeconfig = kubeconfig(port, &authority.certificate, name, &token).to_string();
        write(&format!("{name}.kubeconfig"), &kubeconfig)?;
    }
    write(TOKENS, &tokens)
}

/// Writes a kubeconfig `<name>.kubeconfig` and says where it is.
pub(super) fn write_kubeconfig(folder: &Path, name: &str, config: &Kubeconfig) -> Result<PathBuf, ControlPlaneError> {
    let file = format!("{name}.kubeconfig");
    let text = serde_json::to_vec(config).map_err(|source| ControlPlaneError::Io {
        what: file.clone(),
        source: source.into(),
    })?;
    write(folder, &file, &text)?;
    Ok(folder.join(file))
}

fn write(folder: &Path, name: &str, content: &[u8]) -> Result<(), ControlPlaneError> {
    let path = folder.join(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(&path)
        .and_then(|mut file| io::Write::write_all(&mut file, content))
        .map_err(failed_io(&path.display().to_string()))
}

/// JSON is YAML too, so that kubectl and the Go programs read it.
fn kubeconfig(port: u16, authority: &str, user: &str, token: &str) -> Value {
    use base64::Engine as _;
    let authority = base64::engine::general_purpose::STANDARD.encode(authority);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "controlplane", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority-data": authority,
        }}],
        "users": [{ "name": user, "user": { "token": token } }],
        "contexts": [{ "name": "controlplane", "context": { "cluster": "controlplane", "user": user } }],
        "current-context": "controlplane",
    })
}

/// Every request but those of the control plane itself, without bodies.
fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": true,
        "rules": [
            { "level": "None", "users": ["system:apiserver", "system:kube-controller-manager"] },
            { "level": "None", "userGroups": ["system:serviceaccounts:kube-system"] },
            { "level": "Metadata" },
        ],
    })
}

/// The authority of one control plane.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "controlplane authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// Certificate and key of kube-apiserver.
    fn server(&self) -> Result<(String, String), rcgen::Error> {
        let names = ["localhost", "kubernetes.default.svc"].map(str::to_owned);
        let mut params = CertificateParams::new(names)?;
        for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 0, 0, 1)] {
            params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(address)));
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_folders_have_an_owner() {
        assert_eq!(owner("neo4j-operator-controlplane-12-abc"), Some(12));
        assert_eq!(owner("neo4j-operator-controlplane-x-abc"), None);
        assert_eq!(owner("somebody-else-12-abc"), None);
        assert!(runs(i32::try_from(std::process::id()).unwrap()));
        assert!(!runs(0));
    }

    #[test]
    fn secrets_are_the_owners_alone_and_every_person_has_a_kubeconfig() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path(), 6443).unwrap();
        for name in [
            ACCOUNTS_KEY,
            SERVER_KEY,
            TOKENS,
            ADMIN_KUBECONFIG,
            CONTROLLERS_KUBECONFIG,
        ] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let config = Kubeconfig::read_from(admin_kubeconfig(folder.path())).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("controlplane"));
    }
}
