//! neo4j.conf and the environment over it, read as a server reads them at its start: what is wrong ends the process.
//!
//! Settings are known by name or family; the texts are those that people know from the log of a server that does not start.

use std::collections::BTreeMap;

/// The one setting that may repeat.
const REPEATABLE: &str = "server.jvm.additional";

/// Families of settings whose last part is free.
const FAMILIES: [&str; 12] = [
    "dbms.ssl.policy.",
    "dbms.security.ldap.",
    "dbms.security.oidc.",
    "dbms.security.logs.",
    "db.logs.query.",
    "server.metrics.",
    "server.logs.",
    "server.directories.",
    "server.panic.",
    "dbms.kubernetes.",
    "internal.",
    "browser.",
];

/// Settings known by name.
const KNOWN: &[&str] = &[
    "client.allow_telemetry",
    "db.checkpoint",
    "db.checkpoint.interval.time",
    "db.checkpoint.interval.tx",
    "db.checkpoint.interval.volume",
    "db.checkpoint.iops.limit",
    "db.cluster.catchup.pull_interval",
    "db.cluster.raft.apply.buffer.max_bytes",
    "db.cluster.raft.leader_transfer.priority_group",
    "db.cluster.raft.log.prune_strategy",
    "db.filewatcher.enabled",
    "db.format",
    "db.import.csv.buffer_size",
    "db.index.fulltext.default_analyzer",
    "db.lock.acquisition.timeout",
    "db.memory.pagecache.warmup.enable",
    "db.memory.pagecache.warmup.preload",
    "db.memory.pagecache.warmup.profile.interval",
    "db.memory.transaction.max",
    "db.memory.transaction.total.max",
    "db.query.default_language",
    "db.recovery.fail_on_missing_files",
    "db.relationship_grouping_threshold",
    "db.shutdown_transaction_end_timeout",
    "db.temporal.timezone",
    "db.track_query_cpu_time",
    "db.transaction.bookmark_ready_timeout",
    "db.transaction.concurrent.maximum",
    "db.transaction.monitor.check.interval",
    "db.transaction.sampling.percentage",
    "db.transaction.timeout",
    "db.tx_log.buffer.size",
    "db.tx_log.preallocate",
    "db.tx_log.rotation.retention_policy",
    "db.tx_log.rotation.size",
    "db.tx_state.memory_allocation",
    "dbms.cluster.catchup.client_inactivity_timeout",
    "dbms.cluster.discovery.endpoints",
    "dbms.cluster.discovery.log_level",
    "dbms.cluster.discovery.resolver_type",
    "dbms.cluster.discovery.type",
    "dbms.cluster.discovery.v2.endpoints",
    "dbms.cluster.discovery.version",
    "dbms.cluster.endpoints",
    "dbms.cluster.minimum_initial_system_primaries_count",
    "dbms.cluster.network.connect_timeout",
    "dbms.cluster.network.handshake_timeout",
    "dbms.cluster.network.max_chunk_size",
    "dbms.cluster.network.supported_compression_algos",
    "dbms.cluster.raft.binding_timeout",
    "dbms.cluster.raft.client.max_channels",
    "dbms.cluster.raft.election_failure_detection_window",
    "dbms.cluster.raft.leader_failure_detection_window",
    "dbms.cluster.raft.leader_transfer.balancing_strategy",
    "dbms.cluster.raft.log.pruning_frequency",
    "dbms.cluster.raft.membership.join_max_lag",
    "dbms.cluster.raft.membership.join_timeout",
    "dbms.cluster.store_copy.max_retry_time_per_request",
    "dbms.cypher.forbid_exhaustive_shortestpath",
    "dbms.cypher.hints_error",
    "dbms.cypher.lenient_create_relationship",
    "dbms.cypher.min_replan_interval",
    "dbms.cypher.planner",
    "dbms.cypher.render_plan_description",
    "dbms.cypher.statistics_divergence_threshold",
    "dbms.databases.seed_from_uri_providers",
    "dbms.db.timezone",
    "dbms.logs.http.enabled",
    "dbms.max_databases",
    "dbms.memory.tracking.enable",
    "dbms.memory.transaction.total.max",
    "dbms.netty.ssl.provider",
    "dbms.routing.client_side.enforce_for_domains",
    "dbms.routing.default_router",
    "dbms.routing.driver.connection.connect_timeout",
    "dbms.routing.driver.connection.max_lifetime",
    "dbms.routing.driver.connection.pool.acquisition_timeout",
    "dbms.routing.driver.connection.pool.idle_test",
    "dbms.routing.driver.connection.pool.max_size",
    "dbms.routing.driver.logging.level",
    "dbms.routing.enabled",
    "dbms.routing.load_balancing.plugin",
    "dbms.routing.load_balancing.shuffle_enabled",
    "dbms.routing.reads_on_primaries_enabled",
    "dbms.routing.reads_on_writers_enabled",
    "dbms.routing_ttl",
    "dbms.security.allow_csv_import_from_file_urls",
    "dbms.security.auth_cache_max_size",
    "dbms.security.auth_cache_ttl",
    "dbms.security.auth_cache_use_ttl",
    "dbms.security.auth_enabled",
    "dbms.security.auth_lock_time",
    "dbms.security.auth_max_failed_attempts",
    "dbms.security.auth_minimum_password_length",
    "dbms.security.authentication_providers",
    "dbms.security.authorization_providers",
    "dbms.security.cluster_status_auth_enabled",
    "dbms.security.http_access_control_allow_origin",
    "dbms.security.http_auth_allowlist",
    "dbms.security.http_strict_transport_security",
    "dbms.security.key.name",
    "dbms.security.keystore.password",
    "dbms.security.keystore.path",
    "dbms.security.log_successful_authentication",
    "dbms.security.procedures.allowlist",
    "dbms.security.procedures.unrestricted",
    "dbms.usage_report.enabled",
    "initial.dbms.automatically_enable_free_servers",
    "initial.dbms.database_allocator",
    "initial.dbms.default_database",
    "initial.dbms.default_primaries_count",
    "initial.dbms.default_secondaries_count",
    "initial.server.allowed_databases",
    "initial.server.denied_databases",
    "initial.server.mode_constraint",
    "initial.server.tags",
    "server.backup.enabled",
    "server.backup.exec_connector.command",
    "server.backup.listen_address",
    "server.backup.store_copy_max_retry_time_per_request",
    "server.bolt.additional_listen_addresses",
    "server.bolt.advertised_address",
    "server.bolt.connection_keep_alive",
    "server.bolt.connection_keep_alive_for_requests",
    "server.bolt.connection_keep_alive_probes",
    "server.bolt.connection_keep_alive_streaming_scheduling_interval",
    "server.bolt.enabled",
    "server.bolt.listen_address",
    "server.bolt.ocsp_stapling_enabled",
    "server.bolt.telemetry.enabled",
    "server.bolt.thread_pool_keep_alive",
    "server.bolt.thread_pool_max_size",
    "server.bolt.thread_pool_min_size",
    "server.bolt.tls_level",
    "server.bolt.traffic_accounting_check_period",
    "server.cluster.advertised_address",
    "server.cluster.catchup.connect_randomly_to_server_group",
    "server.cluster.catchup.upstream_strategy",
    "server.cluster.listen_address",
    "server.cluster.network.native_transport_enabled",
    "server.cluster.raft.advertised_address",
    "server.cluster.raft.listen_address",
    "server.cluster.system_database_mode",
    "server.config.strict_validation.enabled",
    "server.cypher.parallel.worker_limit",
    "server.databases.default_to_read_only",
    "server.databases.read_only",
    "server.databases.writable",
    "server.db.query_cache_size",
    "server.default_advertised_address",
    "server.default_listen_address",
    "server.discovery.advertised_address",
    "server.discovery.listen_address",
    "server.dynamic.setting.allowlist",
    "server.groups",
    "server.http.advertised_address",
    "server.http.enabled",
    "server.http.listen_address",
    "server.http_enabled_modules",
    "server.http_enabled_transports",
    "server.https.advertised_address",
    "server.https.enabled",
    "server.https.listen_address",
    "server.jvm.additional",
    "server.max_databases",
    "server.memory.heap.initial_size",
    "server.memory.heap.max_size",
    "server.memory.off_heap.block_cache_size",
    "server.memory.off_heap.max_cacheable_block_size",
    "server.memory.off_heap.transaction_max_size",
    "server.memory.pagecache.directio",
    "server.memory.pagecache.flush.buffer.enabled",
    "server.memory.pagecache.flush.buffer.size_in_pages",
    "server.memory.pagecache.scan.prefetchers",
    "server.memory.pagecache.size",
    "server.memory.query_cache.per_db_cache_num_entries",
    "server.memory.query_cache.shared_cache_num_entries",
    "server.memory.query_cache.sharing_enabled",
    "server.routing.advertised_address",
    "server.routing.listen_address",
    "server.threads.worker_count",
    "server.unmanaged_extension_classes",
    "server.windows_service_name",
];

/// Settings that a calendar version does not know any more.
const GONE_2025: [&str; 5] = [
    "dbms.cluster.discovery.version",
    "dbms.cluster.discovery.v2.endpoints",
    "dbms.cluster.discovery.endpoints",
    "server.discovery.advertised_address",
    "server.discovery.listen_address",
];
/// Settings that stop every version.
const REMOVED: [&str; 1] = ["server.directories.certificates"];

/// Values of settings with few: the setting, what it takes.
const ENUMS: [(&str, &[&str]); 5] = [
    ("server.bolt.tls_level", &["DISABLED", "OPTIONAL", "REQUIRED"]),
    ("initial.server.mode_constraint", &["NONE", "PRIMARY", "SECONDARY"]),
    ("server.cluster.system_database_mode", &["PRIMARY", "SECONDARY"]),
    ("dbms.cluster.discovery.resolver_type", &["LIST", "DNS", "SRV", "K8S"]),
    (
        "dbms.cluster.discovery.version",
        &["V1_ONLY", "V1_OVER_V2", "V2_OVER_V1", "V2_ONLY"],
    ),
];
/// Settings with whole numbers.
const NUMBERS: [&str; 6] = [
    "dbms.cluster.minimum_initial_system_primaries_count",
    "initial.dbms.default_primaries_count",
    "initial.dbms.default_secondaries_count",
    "server.bolt.thread_pool_max_size",
    "server.bolt.thread_pool_min_size",
    "dbms.security.auth_max_failed_attempts",
];
/// Settings with sizes.
const SIZES: [&str; 5] = [
    "server.memory.heap.initial_size",
    "server.memory.heap.max_size",
    "server.memory.pagecache.size",
    "db.memory.transaction.max",
    "dbms.memory.transaction.total.max",
];

/// Why a server does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfError(String);

/// Reads a neo4j.conf. `calendar`: of a version of 2025 or later.
pub fn read(text: &str, calendar: bool) -> Result<BTreeMap<String, String>, ConfError> {
    let mut settings = BTreeMap::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let (key, value) = (key.trim(), value.trim());
        if settings.insert(key.to_owned(), value.to_owned()).is_some() && key != REPEATABLE && calendar {
            return Err(ConfError(format!(
                "Failed to read config: '{key}' is declared multiple times. Set it once only."
            )));
        }
    }
    Ok(settings)
}

/// Settings from the environment: `NEO4J_server_memory_heap_max__size` is `server.memory.heap.max_size`.
pub fn from_environment<'a>(
    environment: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix("NEO4J_") else {
            continue;
        };
        // Variables of the image itself are in upper case.
        if !rest.starts_with(|c: char| c.is_ascii_lowercase()) {
            continue;
        }
        let key = rest.replace("__", "\u{0}").replace('_', ".").replace('\u{0}', "_");
        settings.insert(key, value.clone());
    }
    settings
}

/// Checks every setting as a server does at its start.
pub fn check(settings: &BTreeMap<String, String>, calendar: bool) -> Result<(), ConfError> {
    let strict = settings
        .get("server.config.strict_validation.enabled")
        .is_none_or(|value| value != "false");
    for (key, value) in settings {
        let removed = REMOVED.contains(&key.as_str()) || calendar && GONE_2025.contains(&key.as_str());
        let known = KNOWN.contains(&key.as_str()) || FAMILIES.iter().any(|family| key.starts_with(family));
        if (removed || !known) && strict {
            return Err(ConfError(format!(
                "Error evaluating values for settings: Unrecognized setting. No declared setting with name: {key}."
            )));
        }
        let bad = |why: String| {
            ConfError(format!(
                "Error evaluating value for setting '{key}'. Failed to validate '{value}' for '{key}': {why}"
            ))
        };
        if let Some((_, values)) = ENUMS.iter().find(|(name, _)| name == key)
            && !values.contains(&value.to_ascii_uppercase().as_str())
        {
            return Err(bad(format!("'{value}' not one of [{}]", values.join(", "))));
        }
        if NUMBERS.contains(&key.as_str()) && value.parse::<u32>().is_err() {
            return Err(bad(format!("'{value}' is not a valid integer value")));
        }
        if SIZES.contains(&key.as_str()) && bytes(value).is_none() {
            return Err(bad(format!(
                "'{value}' is not a valid size, must be e.g. 10, 5K, 1M, 11G"
            )));
        }
        if key.ends_with(".enabled")
            && !["true", "false"].contains(&value.to_ascii_lowercase().as_str())
            && NOT_BOOLEAN != key
        {
            return Err(bad(format!(
                "'{value}' is not a valid boolean value, must be 'true' or 'false'"
            )));
        }
    }
    Ok(())
}

/// The one `.enabled` with other values: OFF, INFO, VERBOSE.
const NOT_BOOLEAN: &str = "db.logs.query.enabled";

/// A size with its unit, in bytes.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str, calendar: bool) -> Result<(), ConfError> {
        check(&read(text, calendar)?, calendar)
    }

    #[test]
    fn what_stops_a_real_server_stops_this_one_with_the_key_in_the_message() {
        let stops = [
            ("server.memory.heap.maxsize=1g", true),
            ("server.bolt.tls_level=MAYBE", true),
            ("server.memory.heap.max_size=lots", false),
            ("initial.dbms.default_primaries_count=two", false),
            ("server.backup.enabled=yes", true),
            ("server.directories.certificates=/ssl", false),
            ("dbms.cluster.discovery.version=V2_ONLY", true),
            ("db.format=block\ndb.format=aligned", true),
        ];
        for (text, calendar) in stops {
            let key = text.split('=').next().unwrap();
            let error = start(text, calendar).expect_err(text);
            assert!(error.to_string().contains(key), "{error}");
        }
        let starts = [
            ("db.format=block\ndb.format=aligned", false),
            ("server.jvm.additional=-Da=1\nserver.jvm.additional=-Db=2", true),
            ("dbms.cluster.discovery.version=V2_ONLY", false),
            ("db.logs.query.enabled=INFO\n# nothing\n\nserver.metrics.filter=*", true),
            ("server.config.strict_validation.enabled=false\nno.such.key=1", true),
        ];
        for (text, calendar) in starts {
            assert_eq!(start(text, calendar), Ok(()), "{text}");
        }
    }

    #[test]
    fn settings_come_from_the_environment_by_their_own_spelling() {
        let environment = BTreeMap::from([
            ("NEO4J_server_memory_heap_max__size".to_owned(), "1g".to_owned()),
            ("NEO4J_AUTH".to_owned(), "neo4j/x".to_owned()),
            ("PATH".to_owned(), "/bin".to_owned()),
        ]);
        let expected = BTreeMap::from([("server.memory.heap.max_size".to_owned(), "1g".to_owned())]);
        assert_eq!(from_environment(&environment), expected);
    }
}
