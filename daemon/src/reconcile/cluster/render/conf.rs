//! neo4j.conf of one pool, and the script that completes it in each pod.
//!
//! The bytes are the same for all members of a pool and do not depend on how many there are (CF1): else every
//! scaling would restart every server. What differs from pod to pod (its own address, the formation gate, the
//! constraint of its ordinal) is appended by the start script. Each key stands once, for newer servers refuse to
//! start otherwise; only JVM arguments repeat.

use std::collections::BTreeMap;

use neo4j_operator_crds::version::Version;

use super::memory::{self, Memory};
use crate::reconcile::cluster::{
    desired::{Bootstrap, Role},
    names,
};

/// What a neo4j.conf is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Version of the servers.
    pub version: Version,
    /// The pool.
    pub role: Role,
    /// How the cluster forms.
    pub bootstrap: &'a Bootstrap,
    /// Memory limit of the container, in bytes.
    pub memory_limit: u64,
    /// Encryption, and whether servers verify each other.
    pub tls: Option<Strictness>,
    /// Settings of the user.
    pub config: &'a BTreeMap<String, String>,
}

/// Whether servers verify each other's certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// They do.
    Strict,
    /// They take any certificate.
    TrustAll,
}

/// A rendered neo4j.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conf {
    /// The text.
    pub text: String,
    /// Keys whose value by the user was dropped, because ours has to stand.
    pub dropped: Vec<String>,
    /// Heap and page cache as the server will see them.
    pub memory: Memory,
}

/// Neo4j's own JVM arguments, which a neo4j.conf of ours would otherwise take away (C4).
const JVM_DEFAULTS: [&str; 17] = [
    "-XX:+UseG1GC",
    "-XX:-OmitStackTraceInFastThrow",
    "-XX:+AlwaysPreTouch",
    "-XX:+UnlockExperimentalVMOptions",
    "-XX:+TrustFinalNonStaticFields",
    "-XX:+DisableExplicitGC",
    "-Djdk.nio.maxCachedBufferSize=1024",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Djdk.tls.ephemeralDHKeySize=2048",
    "-Djdk.tls.rejectClientInitiatedRenegotiation=true",
    "-XX:FlightRecorderOptions=stackdepth=256",
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:+DebugNonSafepoints",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "-Dlog4j2.disable.jmx=true",
];

/// The key with JVM arguments; the only one that may repeat.
const JVM: &str = "server.jvm.additional";

/// Keys of ours that a user's value never replaces, though the policy does not refuse it.
const HELD: [&str; 2] = [
    "initial.dbms.automatically_enable_free_servers",
    "server.backup.enabled",
];

/// Renders the file.
pub fn render(input: Input<'_>) -> Conf {
    let mut settings = ours(input);
    let mut dropped = Vec::new();
    for (key, value) in input.config {
        if key == JVM {
            continue;
        }
        if HELD.contains(&key.as_str()) && settings.get(key) != Some(value) {
            dropped.push(key.clone());
            continue;
        }
        settings.insert(key.clone(), value.clone());
    }
    let memory = merge_memory(&mut settings, input);
    let mut text = String::with_capacity(4096);
    for (key, value) in &settings {
        push(&mut text, key, value);
    }
    let user = input.config.get(JVM).map_or("", String::as_str);
    for argument in jvm(user) {
        push(&mut text, JVM, &argument);
    }
    Conf { text, dropped, memory }
}

fn push(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push('=');
    text.push_str(value);
    text.push('\n');
}

/// Every setting of ours, before the user's.
fn ours(input: Input<'_>) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |key: &str, value: &str| {
        settings.insert(key.to_owned(), value.to_owned());
    };
    set("server.default_listen_address", "0.0.0.0");
    for (key, port) in [
        ("server.bolt.listen_address", names::BOLT),
        ("server.http.listen_address", names::HTTP),
        ("server.cluster.listen_address", names::CLUSTER_PORT),
        ("server.routing.listen_address", names::ROUTING),
        ("server.cluster.raft.listen_address", names::RAFT),
        ("server.backup.listen_address", names::BACKUP),
        ("server.metrics.prometheus.endpoint", names::METRICS),
    ] {
        set(key, &format!("0.0.0.0:{port}"));
    }
    for (key, value) in [
        ("server.directories.data", "/data"),
        ("server.directories.logs", "/logs"),
        ("server.directories.plugins", "/plugins"),
        ("server.config.strict_validation.enabled", "true"),
        ("server.backup.enabled", "true"),
        ("db.format", "block"),
        ("server.bolt.thread_pool_min_size", "5"),
        ("server.bolt.thread_pool_max_size", "400"),
        ("server.bolt.thread_pool_keep_alive", "5m"),
        ("server.metrics.jmx.enabled", "false"),
        ("server.metrics.csv.enabled", "false"),
        ("server.metrics.prometheus.enabled", "true"),
        ("db.logs.query.enabled", "INFO"),
        ("db.logs.query.threshold", "5s"),
        ("dbms.routing.default_router", "SERVER"),
        ("initial.dbms.automatically_enable_free_servers", "false"),
        ("dbms.cluster.discovery.resolver_type", "LIST"),
    ] {
        set(key, value);
    }
    set(
        "dbms.databases.seed_from_uri_providers",
        if input.version >= Version::new(2026, 4, 0) {
            "CloudSeedProvider,FileSeedProvider,URLConnectionSeedProvider,ServerSeedProvider"
        } else {
            "CloudSeedProvider,FileSeedProvider,URLConnectionSeedProvider"
        },
    );
    let endpoints = input.bootstrap.endpoints.join(",");
    if input.version.is_calendar() {
        set("dbms.cluster.endpoints", &endpoints);
    } else {
        set("dbms.cluster.discovery.v2.endpoints", &endpoints);
        set("dbms.cluster.discovery.version", "V2_ONLY");
    }
    // The start script takes this line out again once the volume has a system database: a restarted server must
    // not wait for others.
    set(GATE, &input.bootstrap.min_system_primaries.to_string());
    set(
        "initial.dbms.default_primaries_count",
        &input.bootstrap.default_primaries().to_string(),
    );
    set("initial.dbms.default_secondaries_count", "0");
    match input.role {
        // The constraint of each ordinal comes from the start script.
        Role::Server => set("server.cluster.system_database_mode", "PRIMARY"),
        Role::Primary => {
            set("initial.server.mode_constraint", "PRIMARY");
            set("server.cluster.system_database_mode", "PRIMARY");
        }
        Role::Secondary => {
            set("initial.server.mode_constraint", "SECONDARY");
            set("server.cluster.system_database_mode", "SECONDARY");
        }
    }
    if let Some(strictness) = input.tls {
        set("server.bolt.tls_level", "REQUIRED");
        set("server.https.enabled", "true");
        set("server.https.listen_address", &format!("0.0.0.0:{}", names::HTTPS));
        for policy in ["bolt", "https", "cluster"] {
            let mut policy_set = |key: &str, value: &str| set(&format!("dbms.ssl.policy.{policy}.{key}"), value);
            policy_set("enabled", "true");
            policy_set("base_directory", "/ssl");
            policy_set("private_key", "tls.key");
            policy_set("public_certificate", "tls.crt");
            policy_set("tls_versions", "TLSv1.3,TLSv1.2");
            match (policy, strictness) {
                ("cluster", Strictness::Strict) => {
                    policy_set("trusted_dir", "trusted");
                    policy_set("trust_all", "false");
                    policy_set("client_auth", "REQUIRE");
                    policy_set("verify_hostname", "true");
                }
                ("cluster", Strictness::TrustAll) => {
                    policy_set("trust_all", "true");
                    policy_set("client_auth", "NONE");
                    policy_set("verify_hostname", "false");
                }
                _ => policy_set("client_auth", "NONE"),
            }
        }
    }
    settings
}

/// The setting that holds formation back until enough members have met.
pub const GATE: &str = "dbms.cluster.minimum_initial_system_primaries_count";
const HEAP_INITIAL: &str = "server.memory.heap.initial_size";
const HEAP_MAX: &str = "server.memory.heap.max_size";
const PAGE_CACHE: &str = "server.memory.pagecache.size";

/// Completes the sizes around what the user gave: initial heap and maximum are one (B18).
fn merge_memory(settings: &mut BTreeMap<String, String>, input: Input<'_>) -> Memory {
    let given = |settings: &BTreeMap<String, String>, key: &str| {
        settings
            .get(key)
            .and_then(|text| memory::parse_size(text))
            .map(|bytes| bytes / memory::MIB)
    };
    let heap = given(settings, HEAP_MAX).or_else(|| given(settings, HEAP_INITIAL));
    let mut memory = memory::divide(input.memory_limit, heap);
    if let Some(cache) = given(settings, PAGE_CACHE) {
        memory.page_cache_mib = cache;
    }
    settings.insert(HEAP_INITIAL.to_owned(), format!("{}m", memory.heap_mib));
    settings.insert(HEAP_MAX.to_owned(), format!("{}m", memory.heap_mib));
    settings.insert(PAGE_CACHE.to_owned(), format!("{}m", memory.page_cache_mib));
    let transactions = (memory.heap_mib * 70 / 100).max(1);
    for (key, mib) in [
        ("dbms.memory.transaction.total.max", transactions),
        (
            "db.memory.transaction.max",
            (transactions / 10).max(256).min(transactions),
        ),
    ] {
        settings.entry(key.to_owned()).or_insert_with(|| format!("{mib}m"));
    }
    memory
}

/// Neo4j's arguments and the user's, merged by flag: the user's wins.
fn jvm(user: &str) -> Vec<String> {
    let given: Vec<&str> = user.split_whitespace().collect();
    // One garbage collector at a time: choosing another takes the default away.
    let collector = |argument: &str| argument.starts_with("-XX:+Use") && argument.ends_with("GC");
    let other_collector = given.iter().any(|argument| collector(argument));
    let mut arguments: Vec<String> = JVM_DEFAULTS
        .iter()
        .filter(|default| !(other_collector && collector(default)))
        .filter(|default| !given.iter().any(|argument| flag(argument) == flag(default)))
        .map(|argument| (*argument).to_owned())
        .collect();
    for (index, argument) in given.iter().enumerate() {
        // Of two values for one flag the last one counts.
        if !given[index + 1..].iter().any(|later| flag(later) == flag(argument)) {
            arguments.push((*argument).to_owned());
        }
    }
    arguments
}

/// What an argument sets, without its value.
fn flag(argument: &str) -> &str {
    if let Some(option) = argument.strip_prefix("-XX:") {
        let option = option.trim_start_matches(['+', '-']);
        return option.split('=').next().unwrap_or(option);
    }
    if argument.starts_with("-D") {
        return argument.split('=').next().unwrap_or(argument);
    }
    argument
}

/// The start script of every pod; the same for all clusters.
///
/// Names of variables do not begin with `NEO4J_`: the image would take them for settings.
pub const START_SCRIPT: &str = r#"#!/bin/sh
# Completes neo4j.conf for this pod and starts Neo4j.
set -eu
conf=/conf/neo4j.conf
host="${POD_NAME}.${HEADLESS_SERVICE}.${POD_NAMESPACE}.svc.${CLUSTER_DOMAIN}"
ordinal="${POD_NAME##*-}"
if [ -d /data/databases/system ]; then
  # This server has met the others before: it must not wait for them again.
  grep -v '^dbms\.cluster\.minimum_initial_system_primaries_count=' /config/neo4j.conf > "$conf"
else
  cat /config/neo4j.conf > "$conf"
fi
{
  echo "server.default_advertised_address=${host}"
  echo "server.cluster.advertised_address=${host}:6000"
  echo "server.routing.advertised_address=${host}:7688"
  echo "server.cluster.raft.advertised_address=${host}:7000"
} >> "$conf"
if [ -f /config/roles ]; then
  mode="$(sed -n "s/^${ordinal}=//p" /config/roles)"
  if [ -z "$mode" ]; then
    mode="$(sed -n 's/^default=//p' /config/roles)"
  fi
  echo "initial.server.mode_constraint=${mode:-NONE}" >> "$conf"
fi
exec tini -g -- /startup/docker-entrypoint.sh neo4j
"#;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn bootstrap() -> Bootstrap {
        Bootstrap {
            min_system_primaries: 3,
            endpoints: vec!["a:6000".into(), "b:6000".into(), "c:6000".into()],
        }
    }

    fn conf(version: Version, role: Role, tls: Option<Strictness>, config: &[(&str, &str)]) -> Conf {
        let config = config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        render(Input {
            version,
            role,
            bootstrap: &bootstrap(),
            memory_limit: 2 << 30,
            tls,
            config: &config,
        })
    }

    const LTS: Version = Version::new(5, 26, 3);
    const CALENDAR: Version = Version::new(2025, 8, 0);

    #[test]
    fn discovery_is_named_as_the_version_knows_it() {
        let old = conf(LTS, Role::Server, None, &[]).text;
        assert!(
            old.contains("dbms.cluster.discovery.v2.endpoints=a:6000,b:6000,c:6000\n"),
            "{old}"
        );
        assert!(old.contains("dbms.cluster.discovery.version=V2_ONLY\n"));
        let new = conf(CALENDAR, Role::Server, None, &[]).text;
        assert!(new.contains("dbms.cluster.endpoints=a:6000,b:6000,c:6000\n"));
        assert!(
            !new.contains("discovery.version") && !new.contains("v2.endpoints"),
            "{new}"
        );
    }

    #[test]
    fn a_pool_of_secondaries_takes_no_part_in_the_system_database() {
        let text = conf(CALENDAR, Role::Secondary, None, &[]).text;
        assert!(text.contains("server.cluster.system_database_mode=SECONDARY\n"));
        assert!(text.contains("initial.server.mode_constraint=SECONDARY\n"));
    }

    #[test]
    fn tls_is_required_and_members_verify_each_other_unless_told_otherwise() {
        let strict = conf(CALENDAR, Role::Server, Some(Strictness::Strict), &[]).text;
        assert!(strict.contains("server.bolt.tls_level=REQUIRED\n"));
        assert!(strict.contains("dbms.ssl.policy.cluster.client_auth=REQUIRE\n"));
        assert!(strict.contains("dbms.ssl.policy.cluster.verify_hostname=true\n"));
        let loose = conf(CALENDAR, Role::Server, Some(Strictness::TrustAll), &[]).text;
        assert!(loose.contains("dbms.ssl.policy.cluster.trust_all=true\n"));
        assert!(!conf(CALENDAR, Role::Server, None, &[]).text.contains("ssl"));
    }

    #[test]
    fn a_heap_of_the_user_is_initial_and_maximum_and_the_cache_follows() {
        let conf = conf(
            CALENDAR,
            Role::Server,
            None,
            &[("server.memory.heap.initial_size", "600m")],
        );
        assert!(
            conf.text.contains("server.memory.heap.max_size=600m\n"),
            "{}",
            conf.text
        );
        assert!(conf.text.contains("server.memory.heap.initial_size=600m\n"));
        assert!(conf.text.contains("server.memory.pagecache.size=300m\n"));
    }

    #[test]
    fn jvm_arguments_of_the_user_win_by_flag_and_the_others_of_neo4j_stay() {
        let text = conf(
            CALENDAR,
            Role::Server,
            None,
            &[(JVM, "-XX:+UseZGC -XX:-AlwaysPreTouch -Dx=1 -Dx=2")],
        )
        .text;
        assert!(!text.contains("UseG1GC"));
        assert!(text.contains("server.jvm.additional=-XX:-AlwaysPreTouch\n"));
        assert!(!text.contains("-XX:+AlwaysPreTouch"));
        assert!(text.contains("server.jvm.additional=-Dx=2\n") && !text.contains("-Dx=1"));
        assert!(text.contains("--add-opens=java.base/java.nio=ALL-UNNAMED"));
    }

    #[test]
    fn a_value_that_has_to_give_way_is_named() {
        let conf = conf(
            CALENDAR,
            Role::Server,
            None,
            &[("initial.dbms.automatically_enable_free_servers", "true")],
        );
        assert_eq!(conf.dropped, ["initial.dbms.automatically_enable_free_servers"]);
        assert!(conf.text.contains("automatically_enable_free_servers=false\n"));
    }

    proptest! {
        #[test]
        fn no_key_is_ever_repeated(
            keys in proptest::collection::btree_map("(db|dbms|server|initial)(\\.[a-z_]{1,12}){1,4}", "[a-z0-9]{0,8}", 0..30),
            heap in proptest::option::of("[1-9][0-9]{0,3}[mgMG]"),
            calendar in any::<bool>(),
            tls in any::<bool>(),
        ) {
            let version = if calendar { CALENDAR } else { LTS };
            let mut config = keys;
            if let Some(heap) = heap {
                config.insert(HEAP_MAX.to_owned(), heap);
            }
            config.insert(JVM.to_owned(), "-Xss2m -XX:+UseZGC".to_owned());
            let conf = render(Input {
                version,
                role: Role::Primary,
                bootstrap: &bootstrap(),
                memory_limit: 4 << 30,
                tls: tls.then_some(Strictness::Strict),
                config: &config,
            });
            let mut seen = BTreeSet::new();
            for line in conf.text.lines() {
                let key = line.split('=').next().unwrap_or_default();
                prop_assert!(key == JVM || seen.insert(key.to_owned()), "{key} stands twice");
            }
        }
    }
}
