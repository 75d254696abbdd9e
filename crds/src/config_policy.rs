//! Which settings of neo4j.conf a user may give, in `config` or as environment.
//!
//! A setting that the operator writes itself would make servers disagree about where they listen,
//! whom they trust or how they form a cluster; a value with a line break would smuggle in another
//! setting. Both are refused with the key named, the value never.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::EnvVar;

use crate::{rules::Problem, version::Version};

/// Keys that Neo4j no longer takes, with what replaces them.
const DEPRECATED: [(&str, &str); 3] = [
    ("dbms.default_database", "use initial.dbms.default_database"),
    ("dbms.logs.query.enabled", "use spec.monitoring.queryLogLevel"),
    (
        "dbms.integrations.cloud_storage.s3.region",
        "use the environment variable AWS_REGION",
    ),
];

/// Keys and families (with a final dot) that the operator writes itself.
const OURS: [&str; 12] = [
    "dbms.cluster.discovery.resolver_type",
    "dbms.cluster.discovery.v2.endpoints",
    "dbms.cluster.endpoints",
    "dbms.kubernetes.",
    "server.cluster.system_database_mode",
    "initial.server.mode_constraint",
    "dbms.cluster.minimum_initial_system_primaries_count",
    "dbms.ssl.policy.",
    "server.bolt.tls_level",
    "server.directories.",
    "db.format",
    "server.config.strict_validation.enabled",
];

/// Listen addresses that the operator writes, with the port.
const LISTEN: [(&str, &str); 7] = [
    ("server.bolt.listen_address", "7687"),
    ("server.http.listen_address", "7474"),
    ("server.https.listen_address", "7473"),
    ("server.cluster.listen_address", "6000"),
    ("server.routing.listen_address", "7688"),
    ("server.cluster.raft.listen_address", "7000"),
    ("server.backup.listen_address", "6362"),
];

/// Options of the JVM that run other code.
const JVM_REFUSED: [&str; 5] = [
    "-javaagent:",
    "-agentlib:",
    "-agentpath:",
    "-XX:OnError=",
    "-XX:OnOutOfMemoryError=",
];

/// Variables that the operator sets from other fields of the spec.
pub const RESERVED_ENV: [&str; 2] = ["NEO4J_ACCEPT_LICENSE_AGREEMENT", "NEO4J_AUTH"];

/// What is wrong with the settings at `field`.
pub fn check_config(field: &str, config: &BTreeMap<String, String>, version: Option<Version>) -> Vec<Problem> {
    config
        .iter()
        .filter_map(|(key, value)| {
            refusal(key, value, version).map(|why| Problem::of_reconciler(format!("{field}[{key}]"), why))
        })
        .collect()
}

/// What is wrong with the environment at `field`; the variables of [`RESERVED_ENV`] are another matter.
pub fn check_env(field: &str, env: &[EnvVar], version: Option<Version>) -> Vec<Problem> {
    env.iter()
        .filter(|variable| !RESERVED_ENV.contains(&variable.name.as_str()))
        .filter_map(|variable| {
            let why = if matches!(variable.name.as_str(), "EXTENDED_CONF" | "NEO4J_EXTENDED_CONF") {
                Some("lets neo4j.conf run commands; leave it out".to_owned())
            } else {
                let key = setting_of_env(&variable.name)?;
                refusal(&key, variable.value.as_deref().unwrap_or_default(), version)
            };
            why.map(|why| Problem::of_reconciler(format!("{field}[{}]", variable.name), why))
        })
        .collect()
}

/// The setting that a variable stands for: `NEO4J_`, then `__` for `_` and `_` for `.`.
pub fn setting_of_env(name: &str) -> Option<String> {
    let rest = name.strip_prefix("NEO4J_")?;
    Some(rest.replace("__", "\u{0}").replace('_', ".").replace('\u{0}', "_"))
}

/// Why a setting is refused, if it is.
fn refusal(key: &str, value: &str, version: Option<Version>) -> Option<String> {
    refused_key(key, value, version)
        .or_else(|| refused_value(value).map(str::to_owned))
        .or_else(|| refused_jvm(key, value))
}

fn refused_key(key: &str, value: &str, version: Option<Version>) -> Option<String> {
    if let Some((_, instead)) = DEPRECATED.iter().find(|(deprecated, _)| *deprecated == key) {
        return Some(format!("is no longer a setting of Neo4j; {instead}"));
    }
    if key == "dbms.cluster.discovery.version" {
        let long_term = version.is_none_or(|version| !version.is_calendar());
        return (!(long_term && value == "V2_ONLY"))
            .then(|| "must be V2_ONLY on 5.26 and absent on later versions; leave it out".to_owned());
    }
    if key.ends_with(".listen_address") || key == "server.default_listen_address" {
        return (!is_our_listen_address(key, value))
            .then(|| "is written by the operator, whose Services and probes rely on it; leave it out".to_owned());
    }
    let ours = key.ends_with(".advertised_address")
        || key == "server.default_advertised_address"
        || OURS.iter().any(|own| {
            if own.ends_with('.') {
                key.starts_with(own)
            } else {
                key == *own
            }
        });
    ours.then(|| "is written by the operator; leave it out".to_owned())
}

fn is_our_listen_address(key: &str, value: &str) -> bool {
    if key == "server.default_listen_address" {
        return value == "0.0.0.0";
    }
    LISTEN.iter().any(|(own, port)| {
        *own == key && value.strip_prefix("0.0.0.0").unwrap_or(value).strip_prefix(':') == Some(*port)
    })
}

fn refused_value(value: &str) -> Option<&'static str> {
    if value.contains(['\r', '\n', '\u{2028}', '\u{2029}']) {
        Some("has a value with a line break, which would begin another setting; write it in one line")
    } else if value.ends_with('\\') {
        Some("has a value that ends in a backslash, which would join it with the next setting")
    } else if value.contains("$(") || value.contains('`') {
        Some("has a value with $( or a backtick, which a shell would run; write the plain value")
    } else {
        None
    }
}

fn refused_jvm(key: &str, value: &str) -> Option<String> {
    if key != "server.jvm.additional" {
        return None;
    }
    let refused = JVM_REFUSED
        .iter()
        .find(|option| value.split_whitespace().any(|word| word.starts_with(**option)))?;
    Some(format!(
        "must not hold {refused}, which runs other code inside the database"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(key: &str, value: &str, version: Version) -> Option<String> {
        let config = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        check_config("spec.config", &config, Some(version))
            .pop()
            .map(|problem| problem.to_string())
    }

    #[test]
    fn settings_of_the_operator_are_refused_by_name() {
        let lts = Version::new(5, 26, 0);
        let calendar = Version::new(2025, 8, 0);
        for (key, value) in [
            ("dbms.default_database", "x"),
            ("dbms.cluster.endpoints", "x"),
            ("dbms.kubernetes.label_selector", "x"),
            ("dbms.ssl.policy.bolt.enabled", "false"),
            ("server.directories.data", "/tmp"),
            ("server.bolt.advertised_address", "x:1"),
            ("server.bolt.listen_address", ":7777"),
            ("server.jvm.additional", "-Xss1m -javaagent:/x.jar"),
            ("db.tx_log.rotation.size", "1\nserver.bolt.tls_level=DISABLED"),
            ("a.b", "$(id)"),
            ("a.b", "x\\"),
        ] {
            let text = why(key, value, calendar).unwrap_or_else(|| panic!("{key} passed"));
            assert!(text.starts_with(&format!("spec.config[{key}]: ")), "{text}");
        }
        for (key, value) in [
            ("server.memory.heap.max_size", "2G"),
            ("server.bolt.listen_address", "0.0.0.0:7687"),
            ("server.bolt.listen_address", ":7687"),
            ("server.default_listen_address", "0.0.0.0"),
            ("server.jvm.additional", "-XX:+UseG1GC"),
        ] {
            assert_eq!(why(key, value, calendar), None);
        }
        assert_eq!(why("dbms.cluster.discovery.version", "V2_ONLY", lts), None);
        assert!(why("dbms.cluster.discovery.version", "V2_ONLY", calendar).is_some());
        assert!(why("dbms.cluster.discovery.version", "V1_ONLY", lts).is_some());
    }

    #[test]
    fn environment_falls_under_the_same_policy() {
        let variable = |name: &str| EnvVar {
            name: name.to_owned(),
            value: Some("x".to_owned()),
            ..EnvVar::default()
        };
        let env = [
            variable("NEO4J_server_directories_data"),
            variable("NEO4J_server_memory_heap_max__size"),
            variable("NEO4J_AUTH"),
            variable("EXTENDED_CONF"),
            variable("HOME"),
        ];
        let fields: Vec<_> = check_env("spec.env", &env, None)
            .into_iter()
            .map(|problem| problem.field)
            .collect();
        assert_eq!(
            fields,
            ["spec.env[NEO4J_server_directories_data]", "spec.env[EXTENDED_CONF]"]
        );
        assert_eq!(
            setting_of_env("NEO4J_db_tx__log_rotation_size").as_deref(),
            Some("db.tx_log.rotation.size")
        );
    }
}
