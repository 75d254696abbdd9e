//! What the programs are started with. Pure: folder, ports and options in, arguments out.

use std::{fmt, path::Path, str::FromStr};

use super::{Options, Ports, files};

/// A minor version of Kubernetes that the control plane can behave as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Minor {
    /// 1.33: watch lists are off.
    V1_33,
    /// 1.34.
    V1_34,
    /// 1.35.
    V1_35,
    /// 1.36: the one it is built from.
    V1_36,
}

impl Minor {
    /// The oldest that the binary can emulate.
    pub const OLDEST: Self = Self::V1_33;
    /// The newest.
    pub const NEWEST: Self = Self::V1_36;
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_33 => "1.33",
            Self::V1_34 => "1.34",
            Self::V1_35 => "1.35",
            Self::V1_36 => "1.36",
        })
    }
}

impl FromStr for Minor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::V1_33, Self::V1_34, Self::V1_35, Self::V1_36];
        known
            .into_iter()
            .find(|minor| minor.to_string() == text)
            .ok_or_else(|| format!("{text:?} is not a minor that can be emulated: 1.33, 1.34, 1.35 or 1.36"))
    }
}

/// Bytes that etcd may hold under load: 50,000 objects of some kilobytes with their history.
const LOAD_QUOTA: u64 = 8 << 30;

pub(super) fn etcd(folder: &Path, ports: Ports, options: &Options) -> Vec<String> {
    let (client, peer) = (local("http", ports.etcd), local("http", ports.etcd_peer));
    let mut arguments = vec![
        "--name=controlplane".to_owned(),
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=controlplane={peer}"),
        // A store that nobody will read again needs no disk.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    if options.load {
        arguments.push(format!("--quota-backend-bytes={LOAD_QUOTA}"));
    }
    arguments
}

pub(super) fn apiserver(folder: &Path, ports: Ports, options: &Options) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
    let mut arguments = vec![
        format!("--etcd-servers={}", local("http", ports.etcd)),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", ports.apiserver),
        file("tls-cert-file", files::SERVER_CRT),
        file("tls-private-key-file", files::SERVER_KEY),
        file("client-ca-file", files::CA_CRT),
        // Without these kube-controller-manager complains for ever.
        file("requestheader-client-ca-file", files::CA_CRT),
        "--requestheader-allowed-names=front-proxy".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        file("token-auth-file", files::TOKENS),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        file("service-account-key-file", files::ACCOUNTS_PUB),
        file("service-account-signing-key-file", files::ACCOUNTS_KEY),
        "--endpoint-reconciler-type=none".to_owned(),
        "--allow-privileged=true".to_owned(),
        // Pods of the suites mount no token: nothing in them talks to the API.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        // Off by default and on in some distributions: owners may be blocked only by who may write their finalizers.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
        file("audit-policy-file", files::AUDIT_POLICY),
        file("audit-log-path", files::AUDIT_LOG),
        // One file, however long: it is read as a whole.
        "--audit-log-maxsize=100000".to_owned(),
    ];
    arguments.extend(emulated(options));
    if options.load {
        arguments.extend([
            "--max-requests-inflight=0".to_owned(),
            "--max-mutating-requests-inflight=0".to_owned(),
            "--enable-priority-and-fairness=false".to_owned(),
        ]);
    }
    if let Some(interval) = options.compaction {
        arguments.push(format!("--etcd-compaction-interval={}ms", interval.as_millis()));
    }
    arguments
}

/// Controllers of nodes and endpoints stay off: pods live on 127.x addresses, which endpoints refuse, and the one
/// node is played by the suites.
const CONTROLLERS: &str = "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller,\
    -cloud-node-lifecycle-controller,-service-lb-controller,-node-route-controller,-node-ipam-controller,\
    -endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller";

pub(super) fn controllers(folder: &Path, ports: Ports, options: &Options) -> Vec<String> {
    let mut arguments = controllers_of(&folder.join(files::CONTROLLERS_KUBECONFIG), ports.controllers);
    arguments.extend([
        // The user of the controller manager itself lacks the rights of its controllers.
        "--use-service-account-credentials=true".to_owned(),
        format!(
            "--service-account-private-key-file={}",
            folder.join(files::ACCOUNTS_KEY).display()
        ),
        format!("--root-ca-file={}", folder.join(files::CA_CRT).display()),
        "--enable-hostpath-provisioner=true".to_owned(),
        CONTROLLERS.to_owned(),
    ]);
    arguments.extend(emulated(options));
    arguments
}

/// Those of the kinds that our server has. The others would wait for theirs for ever.
const FEW_CONTROLLERS: &str = "--controllers=statefulset-controller,job-controller,cronjob-controller,\
    ttl-after-finished-controller,garbage-collector-controller,namespace-controller,serviceaccount-controller,\
    persistentvolume-binder-controller,persistentvolumeclaim-protection-controller,\
    persistentvolume-protection-controller";

/// On a server that reads little protobuf, as the user of the kubeconfig.
pub(super) fn controllers_elsewhere(kubeconfig: &Path, port: u16) -> Vec<String> {
    let mut arguments = controllers_of(kubeconfig, port);
    arguments.extend([
        "--use-service-account-credentials=false".to_owned(),
        "--kube-api-content-type=application/json".to_owned(),
        "--enable-hostpath-provisioner=true".to_owned(),
        FEW_CONTROLLERS.to_owned(),
    ]);
    arguments
}

fn controllers_of(kubeconfig: &Path, port: u16) -> Vec<String> {
    let kubeconfig = kubeconfig.display();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        // 20 requests a second would be what the suites wait for.
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=500".to_owned(),
    ]
}

fn emulated(options: &Options) -> Option<String> {
    options.emulated.map(|minor| format!("--emulated-version=kube={minor}"))
}

fn local(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn options_reach_the_programs_they_concern() {
        let ports = Ports {
            etcd: 1,
            etcd_peer: 2,
            apiserver: 3,
            controllers: 4,
        };
        let options = Options {
            emulated: Some(Minor::V1_33),
            controllers: true,
            load: true,
            compaction: Some(Duration::from_secs(2)),
        };
        let folder = Path::new("/f");
        let apiserver = apiserver(folder, ports, &options);
        let controllers = controllers(folder, ports, &options);
        for wanted in [
            "--etcd-servers=http://127.0.0.1:1",
            "--secure-port=3",
            "--emulated-version=kube=1.33",
            "--enable-priority-and-fairness=false",
            "--etcd-compaction-interval=2000ms",
            "--tls-cert-file=/f/server.crt",
        ] {
            assert!(apiserver.iter().any(|argument| argument == wanted), "{wanted}");
        }
        assert!(controllers.contains(&"--emulated-version=kube=1.33".to_owned()));
        assert!(etcd(folder, ports, &options).iter().any(|a| a.starts_with("--quota")));
    }

    #[test]
    fn a_minor_reads_as_it_is_written_and_nothing_else_does() {
        for minor in [Minor::OLDEST, Minor::V1_34, Minor::V1_35, Minor::NEWEST] {
            assert_eq!(minor.to_string().parse(), Ok(minor));
        }
        assert!("1.32".parse::<Minor>().unwrap_err().contains("1.33"));
    }
}
