//! The ConfigMap of a cluster: neo4j.conf per pool, the start script, and what each ordinal may host.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{
    Desired, Role,
    conf::{Conf, START_SCRIPT},
    metadata,
};

/// Key of a pool's neo4j.conf.
pub fn conf_key(role: Role) -> String {
    format!("{}.conf", role.as_str())
}

/// Key of the start script.
pub const SCRIPT_KEY: &str = "start.sh";
/// Key of the constraints per ordinal. Not part of any hash: it is read once, when a server first starts.
pub const ROLES_KEY: &str = "roles";

/// The object.
pub fn body(desired: &Desired, confs: &[(Role, Conf)]) -> Value {
    let mut data = Map::new();
    for (role, conf) in confs {
        data.insert(conf_key(*role), conf.text.clone().into());
    }
    data.insert(SCRIPT_KEY.into(), START_SCRIPT.into());
    if confs.iter().any(|(role, _)| *role == Role::Server) {
        data.insert(ROLES_KEY.into(), roles(desired).into());
    }
    json!({"metadata": metadata(desired), "data": data})
}

/// `ordinal=CONSTRAINT` a line, and the one for all others.
fn roles(desired: &Desired) -> String {
    let topology = &desired.spec().topology;
    let default = topology.server_mode_constraint.clone().unwrap_or_default();
    let mut lines = format!("default={default}\n");
    let mut roles: Vec<_> = topology.server_roles.iter().collect();
    roles.sort_by_key(|role| role.server_index);
    for role in roles {
        let _ = writeln!(lines, "{}={}", role.server_index, role.mode_constraint);
    }
    lines
}
