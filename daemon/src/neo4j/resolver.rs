//! Which host is dialled for a pod: a DNS name that the operator builds itself, or the pod's address.
//!
//! Never a host that a spec, a status or a server names: that would let a resource send the operator's
//! password wherever it likes.

use std::sync::Arc;

/// How the host of a pod is found. Both know the cluster's domain: it is in the names that servers advertise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointResolver {
    /// `pod.service.namespace.svc.<cluster domain>`.
    Dns {
        /// The Kubernetes cluster's domain, unless a resource names its own.
        cluster_domain: Arc<str>,
    },
    /// The address in the pod's status.
    PodIp {
        /// The Kubernetes cluster's domain, unless a resource names its own.
        cluster_domain: Arc<str>,
    },
}

impl EndpointResolver {
    /// The Kubernetes cluster's domain.
    pub fn cluster_domain(&self) -> &str {
        match self {
            Self::Dns { cluster_domain } | Self::PodIp { cluster_domain } => cluster_domain,
        }
    }

    /// The name of a pod below its headless Service.
    pub fn dns_name(pod: &str, service: &str, namespace: &str, cluster_domain: &str) -> String {
        format!("{pod}.{service}.{namespace}.svc.{cluster_domain}")
    }

    /// The host to dial; `None` while the pod has no address yet.
    pub fn host(&self, dns_name: &str, ip: Option<&str>) -> Option<Arc<str>> {
        match self {
            Self::Dns { .. } => Some(dns_name.into()),
            Self::PodIp { .. } => ip.map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_without_an_address_has_no_host_under_pod_ip() {
        let name = EndpointResolver::dns_name("c-server-0", "c-headless", "n", "cluster.local");
        assert_eq!(name, "c-server-0.c-headless.n.svc.cluster.local");
        let resolver = EndpointResolver::PodIp {
            cluster_domain: "cluster.local".into(),
        };
        assert_eq!(resolver.host(&name, None), None);
        assert_eq!(resolver.host(&name, Some("127.10.0.3")).as_deref(), Some("127.10.0.3"));
    }
}
