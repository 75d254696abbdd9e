//! The three Services of a cluster. All select members by labels that never change, so that no rollout and no
//! backup pod ever enters or leaves them.

use serde_json::{Value, json};

use super::{Desired, metadata, names};

fn port(name: &str, port: i32) -> Value {
    json!({"name": name, "port": port, "targetPort": port, "protocol": "TCP"})
}

/// Gives each pod its name, ready or not: members must find each other before any of them is ready.
pub fn headless(desired: &Desired) -> Value {
    let mut ports = client_ports(desired);
    ports.extend([
        port("cluster", names::CLUSTER_PORT),
        port("routing", names::ROUTING),
        port("raft", names::RAFT),
        port("backup", names::BACKUP),
        port("metrics", names::METRICS),
    ]);
    json!({
        "metadata": metadata(desired),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": names::member_selector(&desired.name),
            "ports": ports,
        },
    })
}

/// Where clients connect: all pools.
pub fn client(desired: &Desired) -> Value {
    let service = desired.spec().service.as_ref();
    let kind = desired.effective.service_type.as_str();
    let mut metadata = metadata(desired);
    if let Some(service) = service.filter(|service| !service.annotations.is_empty()) {
        metadata["annotations"] = json!(service.annotations);
    }
    let mut spec = json!({
        "type": kind,
        "selector": names::member_selector(&desired.name),
        "ports": client_ports(desired),
    });
    if let Some(service) = service {
        if kind == "LoadBalancer"
            && let Some(ip) = service.load_balancer_ip.as_ref().filter(|ip| !ip.is_empty())
        {
            spec["loadBalancerIP"] = json!(ip);
        }
        if kind != "ClusterIP"
            && let Some(policy) = &service.external_traffic_policy
        {
            spec["externalTrafficPolicy"] = json!(policy);
        }
    }
    json!({"metadata": metadata, "spec": spec})
}

/// Where metrics are scraped.
pub fn metrics(desired: &Desired) -> Value {
    json!({
        "metadata": metadata(desired),
        "spec": {
            "type": "ClusterIP",
            "selector": names::member_selector(&desired.name),
            "ports": [port("metrics", names::METRICS)],
        },
    })
}

fn client_ports(desired: &Desired) -> Vec<Value> {
    let mut ports = vec![port("bolt", names::BOLT), port("http", names::HTTP)];
    if desired.tls().is_some() {
        ports.push(port("https", names::HTTPS));
    }
    ports
}
