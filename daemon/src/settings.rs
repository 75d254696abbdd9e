//! Flags and environment: the one place. `--help` and the table in `daemon/README.md` are made from it.
//!
//! Every flag has a variable; a flag wins. Only what has an effect is here.

use std::{ffi::OsString, fmt::Write as _, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Arg, CommandFactory, FromArgMatches, Parser, ValueEnum, error::ContextKind};
use neo4j_operator_crds::quantity::Quantity;
use neo4j_operator_shared::{Kind, Span, Strategy};

use crate::cache::Selector;

/// Kubernetes operator for Neo4j Enterprise.
///
/// Talks to the cluster of the current kubeconfig context, or to the one it runs in.
#[derive(Clone, Debug, Parser)]
#[command(name = "neo4j-operator", version, args_conflicts_with_subcommands = true)]
pub struct Settings {
    /// What is logged: a level, or directives such as info,neo4j_operator=debug
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,

    /// Write independent objects in parallel; false: one by one
    #[arg(long, env = "ENABLE_BATCH_OPERATIONS", value_name = "BOOL", default_value = "true", value_parser = boolean, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub enable_batch_operations: bool,

    /// How reads are cached: none, lazy, selective, full or adaptive
    #[arg(long, env = "NEO4J_OPERATOR_CACHE_STRATEGY", value_name = "STRATEGY", default_value = "selective", value_parser = strategy)]
    pub cache_strategy: Strategy,

    /// Another strategy for one kind, such as pods=none; may be repeated
    #[arg(long, env = "NEO4J_OPERATOR_CACHE_STRATEGY_FOR", value_name = "KIND=STRATEGY", value_delimiter = ',', value_parser = strategy_for)]
    pub cache_strategy_for: Vec<(Kind, Strategy)>,

    /// Keep only such objects of a kind for reads, such as pods=team=a,tier; others are asked for; may be repeated
    #[arg(long, env = "NEO4J_OPERATOR_CACHE_SELECTOR", value_name = "KIND=LABELS", value_delimiter = ';', value_parser = selector_for)]
    pub cache_selector: Vec<(Kind, Selector)>,

    /// Bytes that all caches together may take, such as 64Mi; what can be dropped is, and the rest is told
    #[arg(long, env = "NEO4J_OPERATOR_CACHE_BUDGET", value_name = "SIZE", value_parser = cache_size)]
    pub cache_budget: Option<u64>,

    /// Bytes that the cache of one kind may take, such as pods=16Mi; kept as that of all is; may be repeated
    #[arg(long, env = "NEO4J_OPERATOR_CACHE_BUDGET_FOR", value_name = "KIND=SIZE", value_delimiter = ',', value_parser = budget_for)]
    pub cache_budget_for: Vec<(Kind, u64)>,

    /// Least time between two changes of the cache strategy
    #[arg(long, env = "NEO4J_OPERATOR_CACHE_SWITCH_PAUSE", value_name = "DURATION", default_value = "10s", value_parser = duration_or_none)]
    pub cache_switch_pause: Duration,

    /// Time after a change of the cache strategy until what came is compared with what was forecast; a second time
    /// after three times as long
    #[arg(long, env = "NEO4J_OPERATOR_CACHE_COMPARE_AFTER", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub cache_compare_after: Duration,

    /// Kinds whose caches are filled at a time
    #[arg(long, env = "NEO4J_OPERATOR_WARMUP_WORKERS", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub warmup_workers: u8,

    /// Namespaces to look after, comma-separated; all without it
    #[arg(
        long,
        env = "WATCH_NAMESPACE",
        value_name = "NAMESPACES",
        default_value = "",
        hide_default_value = true
    )]
    pub watch_namespace: String,

    /// Where /metrics is served; a loopback address
    #[arg(long, env = "NEO4J_OPERATOR_METRICS_ADDR", value_name = "ADDRESS", default_value = "127.0.0.1:8082", value_parser = address)]
    pub metrics_addr: SocketAddr,

    /// Where /healthz and /readyz are served; :8081 in a cluster
    #[arg(long, env = "NEO4J_OPERATOR_HEALTH_ADDR", value_name = "ADDRESS", value_parser = address)]
    pub health_addr: Option<SocketAddr>,

    /// Where the control API is served; a loopback address
    #[arg(long, env = "NEO4J_OPERATOR_CONTROL_ADDR", value_name = "ADDRESS", default_value = "127.0.0.1:8083", value_parser = address)]
    pub control_addr: SocketAddr,

    /// File that gets the control API's bearer token; removed at the end [default: control-<port>.token in a folder of the user]
    #[arg(long, env = "NEO4J_OPERATOR_CONTROL_TOKEN_FILE", value_name = "FILE")]
    pub control_token_file: Option<PathBuf>,

    /// Observe and plan, but write nothing
    #[arg(long, env = "NEO4J_OPERATOR_READ_ONLY", value_name = "BOOL", default_value = "false", value_parser = boolean, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub read_only: bool,

    /// Reconciles at a time, per kind of custom resource
    #[arg(long, env = "NEO4J_OPERATOR_MAX_CONCURRENT_RECONCILES", value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub max_concurrent_reconciles: u16,

    /// Time after which every resource is looked at again, give or take a tenth
    #[arg(long, env = "NEO4J_OPERATOR_RESYNC", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub resync: Duration,

    /// How long an unchanged resource is left alone before what exists is compared with what should
    #[arg(long, env = "NEO4J_OPERATOR_DRIFT_CHECK", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub drift_check: Duration,

    /// Give memory back when it gets short; false: only measure it
    #[arg(long, env = "ENABLE_MEMORY_MANAGER", value_name = "BOOL", default_value = "true", value_parser = boolean, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub enable_memory_manager: bool,

    /// Memory that the operator may take, such as 512Mi [default: nine tenths of its control group's limit, else 500M]
    #[arg(long, env = "NEO4J_OPERATOR_MEMORY_LIMIT", value_name = "BYTES", value_parser = memory)]
    pub memory_limit: Option<u64>,

    /// How often the memory is tidied up
    #[arg(long, env = "NEO4J_OPERATOR_MEMORY_INTERVAL", value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub memory_interval: Duration,

    /// Image that carries this program; backup Jobs copy it from there [default: that of this version]
    #[arg(long, env = "NEO4J_OPERATOR_IMAGE", value_name = "IMAGE", default_value = default_image(), hide_default_value = true)]
    pub operator_image: String,

    /// How the addresses of Neo4j servers are found
    #[arg(long, env = "NEO4J_OPERATOR_ENDPOINT_RESOLVER", value_name = "HOW", value_enum, default_value_t = Resolver::Dns)]
    pub endpoint_resolver: Resolver,

    /// DNS domain of the Kubernetes cluster
    #[arg(
        long,
        env = "NEO4J_OPERATOR_CLUSTER_DOMAIN",
        value_name = "DOMAIN",
        default_value = "cluster.local"
    )]
    pub cluster_domain: String,

    /// Bolt connections per Neo4j server, at most 4
    #[arg(long, env = "NEO4J_OPERATOR_POOL_MAX_PER_ENDPOINT", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub pool_max_per_endpoint: u8,

    /// How long to wait for a Bolt connection
    #[arg(long, env = "NEO4J_OPERATOR_POOL_ACQUIRE_TIMEOUT", value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub pool_acquire_timeout: Duration,

    /// How long a deletion waits for a Neo4j that does not answer
    #[arg(long, env = "NEO4J_OPERATOR_DELETION_GRACE", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub deletion_grace: Duration,
}

/// How the host of a Neo4j server is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Resolver {
    /// By the pod's name in the cluster's DNS.
    Dns,
    /// By the pod's address.
    PodIp,
}

fn default_image() -> String {
    format!("neo4j-operator:{}", env!("CARGO_PKG_VERSION"))
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("write true, false, 1 or 0".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let span = Span::from_str(text).map_err(|error| error.to_string())?;
    if span.0.is_zero() {
        return Err("must be longer than zero".to_owned());
    }
    Ok(span.0)
}

fn size(text: &str) -> Result<u64, String> {
    let bytes = Quantity::parse(text).and_then(|quantity| u64::try_from(quantity.whole()).ok());
    bytes.ok_or_else(|| "write a size, such as 512Mi or 500M".to_owned())
}

fn cache_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        0 => Err("must be more than zero; to keep nothing, use --cache-strategy none".to_owned()),
        bytes => Ok(bytes),
    }
}

/// Less than this the operator cannot work with.
const LEAST_MEMORY: u64 = 16 << 20;

fn memory(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes if bytes < LEAST_MEMORY => Err("the operator needs at least 16Mi for itself".to_owned()),
        bytes => Ok(bytes),
    }
}

/// A duration that may be zero.
fn duration_or_none(text: &str) -> Result<Duration, String> {
    Span::from_str(text)
        .map(|span| span.0)
        .map_err(|error| error.to_string())
}

/// `host:port`, or `:port` for all addresses.
fn address(text: &str) -> Result<SocketAddr, String> {
    let whole = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.replacen("localhost:", "127.0.0.1:", 1)
    };
    whole
        .parse()
        .map_err(|_| "write an address and a port, such as 127.0.0.1:8082, or a port alone, such as :8082".to_owned())
}

fn strategy(text: &str) -> Result<Strategy, String> {
    Strategy::from_str(text).map_err(|error| error.to_string())
}

fn cached_kind(text: &str) -> Result<Kind, String> {
    let kind = Kind::from_str(text).map_err(|error| error.to_string())?;
    if Kind::PRIMARY.contains(&kind) {
        return Err(format!(
            "{kind} are always watched: their changes are what the operator reacts to"
        ));
    }
    if kind == Kind::Event {
        return Err("events are only written, never read: they have no cache".to_owned());
    }
    Ok(kind)
}

fn selector_for(text: &str) -> Result<(Kind, Selector), String> {
    let (kind, labels) = text
        .split_once('=')
        .ok_or_else(|| "write kind=labels, such as pods=team=a".to_owned())?;
    let selector = Selector::from_str(labels).map_err(|error| error.to_string())?;
    Ok((cached_kind(kind)?, selector))
}

fn strategy_for(text: &str) -> Result<(Kind, Strategy), String> {
    let (kind, name) = text
        .split_once('=')
        .ok_or_else(|| "write kind=strategy, such as pods=none".to_owned())?;
    Ok((cached_kind(kind)?, strategy(name)?))
}

fn budget_for(text: &str) -> Result<(Kind, u64), String> {
    let (kind, size) = text
        .split_once('=')
        .ok_or_else(|| "write kind=size, such as pods=16Mi".to_owned())?;
    Ok((cached_kind(kind)?, cache_size(size)?))
}

/// A kind that has more than one value.
fn given_twice<T>(values: &[(Kind, T)]) -> Option<Kind> {
    let mut kinds = values.iter().map(|(kind, _)| *kind).enumerate();
    kinds.find_map(|(at, kind)| values[..at].iter().any(|(before, _)| *before == kind).then_some(kind))
}

/// One row of the table of settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `--flag`.
    pub flag: String,
    /// Its variable.
    pub variable: String,
    /// Default, if there is a fixed one.
    pub default: String,
    /// What it does.
    pub help: String,
}

impl Settings {
    /// Reads arguments and environment. An error that comes from a variable names the variable.
    pub fn read<I, T>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let settings = Self::command()
            .try_get_matches_from(&arguments)
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| blame_variable(error, &arguments))?;
        settings.check()?;
        Ok(settings)
    }

    /// What no single flag can see.
    fn check(&self) -> Result<(), clap::Error> {
        let open = [
            ("--metrics-addr", self.metrics_addr),
            ("--control-addr", self.control_addr),
        ];
        if let Some((flag, address)) = open.into_iter().find(|(_, address)| !address.ip().is_loopback()) {
            return Err(Self::command().error(
                clap::error::ErrorKind::ValueValidation,
                format!(
                    "{flag} {address} is no loopback address: without authentication, which this version does not \
                     have yet, it would be open to everybody; use 127.0.0.1:{}",
                    address.port()
                ),
            ));
        }
        let twice = [
            ("--cache-strategy-for", given_twice(&self.cache_strategy_for)),
            ("--cache-selector", given_twice(&self.cache_selector)),
            ("--cache-budget-for", given_twice(&self.cache_budget_for)),
        ];
        if let Some((flag, kind)) = twice.into_iter().find_map(|(flag, kind)| Some((flag, kind?))) {
            let message = format!("{flag} is given twice for {kind}: which is meant? Leave one out");
            return Err(Self::command().error(clap::error::ErrorKind::ValueValidation, message));
        }
        Ok(())
    }

    /// The address for health checks: open in a cluster, where the kubelet asks from outside.
    pub fn health(&self, in_cluster: bool) -> SocketAddr {
        let ip = if in_cluster { [0, 0, 0, 0] } else { [127, 0, 0, 1] };
        self.health_addr.unwrap_or_else(|| SocketAddr::from((ip, 8081)))
    }

    /// Every setting, in the order of `--help`.
    pub fn rows() -> Vec<Row> {
        let command = Self::command();
        command.get_arguments().filter_map(row).collect()
    }

    /// The table of the README.
    pub fn table() -> String {
        let mut table = "| flag | variable | default | what it does |\n|---|---|---|---|\n".to_owned();
        for row in Self::rows() {
            let default = if row.default.is_empty() {
                String::new()
            } else {
                format!("`{}`", row.default)
            };
            let _ = writeln!(
                table,
                "| `{}` | `{}` | {default} | {} |",
                row.flag, row.variable, row.help
            );
        }
        table
    }
}

fn row(argument: &Arg) -> Option<Row> {
    let variable = argument.get_env()?.to_string_lossy().into_owned();
    let default = argument
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect::<Vec<_>>()
        .join(",");
    Some(Row {
        flag: format!("--{}", argument.get_long()?),
        variable,
        default,
        help: argument.get_help().map(ToString::to_string).unwrap_or_default(),
    })
}

/// clap names the flag of a bad value even where the value came from the environment.
fn blame_variable(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let Some(named) = error.get(ContextKind::InvalidArg).map(ToString::to_string) else {
        return error;
    };
    let flag = named.split([' ', '=']).next().unwrap_or_default().to_owned();
    let given = arguments.iter().any(|argument| {
        let text = argument.to_string_lossy();
        text == flag || text.starts_with(&format!("{flag}="))
    });
    let variable = Settings::rows()
        .into_iter()
        .find(|row| row.flag == flag)
        .map(|row| row.variable);
    if let (false, Some(variable)) = (given, variable) {
        error.insert(
            ContextKind::InvalidArg,
            clap::error::ContextValue::String(format!("{flag} (from the variable {variable})")),
        );
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Settings, String> {
        let all = std::iter::once("neo4j-operator").chain(arguments.iter().copied());
        Settings::read(all).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_consistent_and_every_flag_has_a_variable() {
        Settings::command().debug_assert();
        let flags = Settings::command()
            .get_arguments()
            .filter(|argument| {
                argument
                    .get_long()
                    .is_some_and(|long| long != "help" && long != "version")
            })
            .count();
        assert_eq!(Settings::rows().len(), flags);
    }

    #[test]
    fn booleans_are_words_or_digits_and_a_bare_flag_is_true() {
        assert!(read(&["--read-only"]).unwrap().read_only);
        assert!(!read(&["--enable-batch-operations=0"]).unwrap().enable_batch_operations);
        let error = read(&["--read-only=maybe"]).unwrap_err();
        assert!(error.contains("true, false, 1 or 0"), "{error}");
    }

    #[test]
    fn a_kind_is_named_once() {
        for (flag, values) in [
            ("--cache-strategy-for", "pods=none,pods=full"),
            ("--cache-selector", "pods=a=b;pods=c=d"),
            ("--cache-budget-for", "pods=1Mi,services=1Mi,pods=2Mi"),
        ] {
            let error = read(&[flag, values]).unwrap_err();
            assert!(error.contains(flag) && error.contains("twice for pods"), "{error}");
        }
        assert!(read(&["--cache-budget-for", "pods=1Mi", "--cache-budget-for", "services=1Mi"]).is_ok());
    }

    #[test]
    fn bad_values_are_refused_with_what_to_write() {
        for (arguments, needle) in [
            (["--resync", "10"], "1h30m"),
            (["--resync", "0s"], "longer than zero"),
            (["--metrics-addr", "8082"], "127.0.0.1:8082"),
            (["--metrics-addr", ":8082"], "no loopback address"),
            (["--cache-strategy", "eager"], "none, lazy, selective"),
            (["--cache-strategy-for", "events=none"], "never read"),
            (["--cache-selector", "pods"], "pods=team=a"),
            (["--cache-selector", "pods=a in (b)"], "key=value"),
            (["--cache-selector", "neo4jbackups=a=b"], "always watched"),
            (["--warmup-workers", "0"], "1..=16"),
            (["--cache-budget", "0"], "--cache-strategy none"),
            (["--cache-budget", "much"], "512Mi"),
            (["--cache-budget-for", "pods"], "pods=16Mi"),
            (["--cache-budget-for", "pods=0"], "--cache-strategy none"),
            (["--cache-budget-for", "neo4jbackups=16Mi"], "always watched"),
            (["--cache-strategy-for", "pods"], "pods=none"),
            (["--cache-strategy-for", "neo4jdatabases=none"], "always watched"),
            (["--cache-strategy-for", "widgets=none"], "statefulsets"),
            (["--max-concurrent-reconciles", "0"], "1..=256"),
            (["--memory-limit", "lots"], "512Mi"),
            (["--memory-limit", "1Zi"], "512Mi"),
            (["--memory-limit", "512"], "at least 16Mi"),
            (["--memory-interval", "0s"], "longer than zero"),
        ] {
            let error = read(&arguments).unwrap_err();
            assert!(error.contains(needle), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn a_limit_is_a_size_as_kubernetes_writes_them() {
        for (text, bytes) in [
            ("512Mi", 512 << 20),
            ("500M", 500_000_000),
            ("20000000", 20_000_000),
            ("1e9", 1_000_000_000),
        ] {
            assert_eq!(
                read(&["--memory-limit", text]).unwrap().memory_limit,
                Some(bytes),
                "{text}"
            );
        }
        assert_eq!(read(&[]).unwrap().memory_limit, None);
    }

    #[test]
    fn an_override_per_kind_takes_short_names_and_lists() {
        let settings = read(&["--cache-strategy-for", "po=none,sts=none"]).unwrap();
        assert_eq!(
            settings.cache_strategy_for,
            [(Kind::Pod, Strategy::None), (Kind::StatefulSet, Strategy::None)]
        );
    }

    #[test]
    fn a_bad_variable_is_blamed_by_its_name() {
        let error = Settings::command()
            .try_get_matches_from(["neo4j-operator", "--resync", "x"])
            .unwrap_err();
        let blamed = blame_variable(error, &["neo4j-operator".into()]).to_string();
        assert!(blamed.contains("NEO4J_OPERATOR_RESYNC"), "{blamed}");
    }
}
