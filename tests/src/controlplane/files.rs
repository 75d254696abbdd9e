//! The files of a control plane: its authority, the server's pair, the key of ServiceAccount tokens, the tokens of
//! people, the audit policy, and kubeconfigs. All in one folder that is the owner's alone.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use serde_json::{Value, json};

use super::{ControlPlaneError, failed_io};
use crate::harness::scratch;

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

/// What the folders of control planes begin with.
const PREFIX: &str = "neo4j-operator-controlplane-";
/// People of the test: name, groups. The operator is none of them; it has a ServiceAccount.
const PEOPLE: [(&str, &str, &str); 2] = [
    ("admin", "admin", "system:masters"),
    (
        "controllers",
        "system:kube-controller-manager",
        "system:kube-controller-manager",
    ),
];

/// A new empty folder, readable by us alone; those of killed runs are removed.
pub(super) fn folder() -> Result<tempfile::TempDir, ControlPlaneError> {
    scratch::folder(PREFIX).map_err(failed_io("a temporary folder"))
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
    use kube::config::Kubeconfig;

    use super::*;

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
