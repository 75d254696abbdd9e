//! Addresses and ports of Services.

use std::{collections::BTreeSet, net::Ipv4Addr};

use serde_json::{Value, json};

use super::{
    super::schema::Reason,
    super::status::{Failure, field_error},
    Registry, meta,
};

/// Cluster addresses come from 10.96.0.0/16.
const NETWORK: [u8; 2] = [10, 96];
const NODE_PORTS: std::ops::Range<u64> = 30_000..32_768;
/// How many random picks are tried before the range counts as full.
const PICKS: usize = 1_000;

impl Registry {
    /// Gives a new or changed Service the addresses and node ports that it lacks.
    pub(super) fn allocate(&self, service: &mut Value) -> Result<(), Failure> {
        let kind = service
            .pointer("/spec/type")
            .and_then(Value::as_str)
            .unwrap_or("ClusterIP")
            .to_owned();
        if kind == "ExternalName" {
            return Ok(());
        }
        let name = meta::text(service, "name").to_owned();
        let taken = self.taken(meta::text(service, "uid"));
        let address = service
            .pointer("/spec/clusterIP")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let address = if address.is_empty() {
            (0..PICKS)
                .map(|_| {
                    let pick = self.chance.next().to_be_bytes();
                    Ipv4Addr::new(NETWORK[0], NETWORK[1], pick[0], pick[1].clamp(1, 254)).to_string()
                })
                .find(|address| !taken.contains(address))
                .ok_or_else(|| Failure::internal("no cluster address is free"))?
        } else if address != "None" && (address.parse::<std::net::IpAddr>().is_err() || taken.contains(&address)) {
            let error = field_error(
                "spec.clusterIPs[0]",
                Reason::Invalid,
                format!("Invalid value: {address:?}: must be a valid address that no other Service has"),
            );
            return Err(Failure::invalid("", "Service", &name, &[error]));
        } else {
            address
        };
        service["spec"]["clusterIP"] = json!(address);
        service["spec"]["clusterIPs"] = json!([address]);
        for (field, value) in [
            ("ipFamilies", json!(["IPv4"])),
            ("ipFamilyPolicy", json!("SingleStack")),
        ] {
            if service["spec"][field].is_null() {
                service["spec"][field] = value;
            }
        }
        if kind == "NodePort" || kind == "LoadBalancer" {
            self.allocate_node_ports(service, &taken)?;
        }
        Ok(())
    }

    fn allocate_node_ports(&self, service: &mut Value, taken: &BTreeSet<String>) -> Result<(), Failure> {
        let mut taken = taken.clone();
        let ports = service.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten() {
            if port.get("nodePort").and_then(Value::as_u64).is_some_and(|p| p > 0) {
                continue;
            }
            let pick = (0..PICKS)
                .map(|_| NODE_PORTS.start + self.chance.below(NODE_PORTS.end - NODE_PORTS.start))
                .find(|p| !taken.contains(&p.to_string()))
                .ok_or_else(|| Failure::internal("no node port is free"))?;
            taken.insert(pick.to_string());
            port["nodePort"] = json!(pick);
        }
        Ok(())
    }

    /// Addresses and node ports of all Services but one.
    fn taken(&self, but: &str) -> BTreeSet<String> {
        let services = self.store.list(&"services".into(), None);
        let mut out = BTreeSet::new();
        for service in services.objects.iter().filter(|s| meta::text(&s.value, "uid") != but) {
            let spec = &service.value["spec"];
            out.extend(spec["clusterIP"].as_str().map(str::to_owned));
            let ports = spec["ports"].as_array().into_iter().flatten();
            out.extend(ports.filter_map(|p| p["nodePort"].as_u64()).map(|p| p.to_string()));
        }
        out
    }
}
