//! Changing the cache strategy: `GET /v1/cache/strategies`, `PUT /v1/cache/strategy` and
//! `DELETE /v1/cache/strategy/{operation}`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Kind, Span, Strategy, Timestamp, cache::Form, goals::GoalId};

/// Answer of `GET /v1/cache/strategies`, or of `?kinds=pods,services` for a change of these alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Strategies {
    /// The strategy of kinds without one of their own.
    pub current: Strategy,
    /// The kinds that the forecasts change, where the question named some: nothing else would change. Absent for
    /// all kinds without a strategy of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<Kind>>,
    /// How long the reads behind the forecasts were observed, at most six hours.
    pub observed: Span,
    /// Reads that were observed.
    pub reads: u64,
    /// What is, in the quantities of the forecasts.
    pub now: Measured,
    /// One per strategy, in the order of growing cost; `adaptive` last.
    pub forecasts: Vec<Forecast>,
    /// The change that is under way, or that may still be rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Past changes, the newest first.
    pub record: Vec<SwitchRecord>,
    /// Mean relative error of past forecasts, of those quantities that could be compared.
    pub errors: Vec<QuantityError>,
    /// What would make the cache answer more reads, one line per kind where there is something to say.
    #[serde(default)]
    pub advice: Vec<String>,
    /// What `adaptive` decided of late, the newest first; empty while it is not in force.
    #[serde(default)]
    pub choices: Vec<Choice>,
}

/// A value and how far off it may be, in the unit of the quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// ± this much.
    pub margin: f64,
}

/// Quantities as they are. What was not measured is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Measured {
    /// Hits ÷ cacheable reads, 0..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hit_rate: Option<f64>,
    /// Bytes of the stores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_bytes: Option<f64>,
    /// Resident bytes of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
    /// Requests per second to the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_rate: Option<f64>,
    /// 99th percentile of a reconcile, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// Seconds from the beginning of a change until the stores were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<f64>,
}

/// What a strategy would bring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// The strategy.
    pub strategy: Strategy,
    /// Hits ÷ cacheable reads, 0..1; absent while nothing was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit_rate: Option<Estimate>,
    /// Bytes of the stores.
    pub cache_bytes: Estimate,
    /// Resident bytes of the process.
    pub memory: Estimate,
    /// The most bytes beyond `memory` that the stores take while they are filled.
    pub peak_bytes: u64,
    /// Requests per second to the API server.
    pub api_rate: Estimate,
    /// 99th percentile of a reconcile, seconds; absent while none was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<Estimate>,
    /// Seconds until the stores can be read; zero where nothing has to be listed.
    pub warmup: Estimate,
    /// Requests of the warm-up.
    pub warmup_requests: u64,
    /// How much the forecast rests on, 0..1: below 0.5 it is a guess.
    pub confidence: f64,
    /// Goals that it would break.
    pub broken: Vec<GoalId>,
    /// One line for people: what it meets, what it breaks, what it spares.
    pub verdict: String,
    /// The part of each kind.
    pub kinds: Vec<KindForecast>,
}

/// The part of one kind in a forecast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindForecast {
    /// The kind.
    pub kind: Kind,
    /// What would be kept of each object.
    pub form: Form,
    /// Objects that would be kept.
    pub objects: u64,
    /// Bytes that they would take.
    pub bytes: f64,
    /// Hits ÷ cacheable reads; absent while it was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit_rate: Option<f64>,
    /// Requests per second of reads that the store could not answer.
    pub api_rate: f64,
}

/// The strategy asked for: a name, or `default`, by which kinds lose their own one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This strategy.
    Strategy(Strategy),
    /// That of kinds without one of their own.
    Default,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strategy(strategy) => strategy.fmt(f),
            Self::Default => f.pad("default"),
        }
    }
}

impl Serialize for Wanted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.eq_ignore_ascii_case("default") {
            return Ok(Self::Default);
        }
        text.parse()
            .map(Self::Strategy)
            .map_err(|error| D::Error::custom(format!("{error}, or default together with kinds")))
    }
}

/// Body of `PUT /v1/cache/strategy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SwitchRequest {
    /// The strategy asked for.
    pub strategy: Wanted,
    /// Only for these kinds, which then have it as their own; without it for all kinds that have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<Kind>>,
    /// Only say what would come of it.
    #[serde(default)]
    pub dry_run: bool,
    /// Go back after this time if a goal is broken that was met before: memory, or the hit rate of more than 100 reads
    /// since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_after: Option<Span>,
}

/// Answer to a `dryRun`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// Kinds whose backing would change; empty if nothing would.
    pub kinds: Vec<Kind>,
    /// What is.
    pub now: Measured,
    /// What would come.
    pub forecast: Forecast,
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum By {
    /// A person, through the control API.
    User,
    /// The strategy `adaptive`.
    Adaptive,
    /// The way back after a broken goal.
    Rollback,
}

impl By {
    /// As in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Adaptive => "adaptive",
            Self::Rollback => "rollback",
        }
    }
}

/// A change of strategy, as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// Who asked for it.
    pub by: By,
    /// The strategy before; of a change of several kinds that of the first one.
    pub from: Strategy,
    /// The strategy asked for.
    pub to: Strategy,
    /// The kinds asked for; absent for all without an own strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<Kind>>,
    /// How far it is.
    pub state: OperationState,
    /// When it began.
    pub started: Timestamp,
    /// Seconds until the swap, or until now.
    pub seconds: f64,
    /// How far each kind is whose backing changes.
    pub progress: Vec<KindProgress>,
    /// Until then it goes back by itself if a goal is broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_at: Option<Timestamp>,
    /// Why it failed or went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was forecast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
}

/// How far a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OperationState {
    /// The new stores are filled, beside the old ones. It can be cancelled.
    Preparing,
    /// The new stores are read; it goes back if a goal is broken at `rollbackAt`.
    Watching,
    /// Done for good.
    Done,
    /// Cancelled before the swap; nothing has changed.
    Cancelled,
    /// The new stores did not get ready; nothing has changed.
    RolledBack,
    /// They did not get ready in time; nothing has changed.
    TimedOut,
}

impl OperationState {
    /// As in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Watching => "watching",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::RolledBack => "rolledBack",
            Self::TimedOut => "timedOut",
        }
    }

    /// Whether the new stores are in force.
    pub const fn swapped(self) -> bool {
        matches!(self, Self::Watching | Self::Done)
    }
}

/// How far one kind is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindProgress {
    /// The kind.
    pub kind: Kind,
    /// What is kept of each object before and after.
    pub from: Form,
    /// What is kept of each object after.
    pub to: Form,
    /// Objects in the new store.
    pub objects: u64,
    /// Whether the new store is complete.
    pub synced: bool,
    /// What holds it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A past change: what was forecast and what came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwitchRecord {
    /// The change, as it ended.
    pub operation: Operation,
    /// What was, at its beginning.
    pub before: Measured,
    /// What came, after 5 and after 15 minutes unless the daemon is set otherwise, where nothing else changed meanwhile.
    pub outcomes: Vec<SwitchOutcome>,
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwitchOutcome {
    /// How long after the swap.
    pub after: Span,
    /// Cacheable reads since the swap; below 100 nothing is compared.
    pub reads: u64,
    /// The quantities since the swap; the 99th percentile only once five minutes have passed.
    pub measured: Measured,
    /// Of those that were forecast: |forecast − measured| ÷ measured, or the difference where that is a ratio.
    pub errors: Vec<QuantityError>,
}

/// The error of one forecast quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuantityError {
    /// Which one.
    pub quantity: Quantity,
    /// Relative error; of the hit rate the absolute one.
    pub error: f64,
}

/// A quantity of a forecast. The serialized names are the values of the label `quantity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Hits ÷ cacheable reads.
    HitRate,
    /// Bytes of the stores.
    Memory,
    /// Requests per second.
    ApiRate,
    /// 99th percentile of a reconcile.
    P99,
    /// Seconds until the stores can be read.
    Warmup,
}

impl Quantity {
    /// Every quantity.
    pub const ALL: [Self; 5] = [Self::HitRate, Self::Memory, Self::ApiRate, Self::P99, Self::Warmup];

    /// As in JSON and in the label `quantity`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HitRate => "hit_rate",
            Self::Memory => "memory",
            Self::ApiRate => "api_rate",
            Self::P99 => "p99",
            Self::Warmup => "warmup",
        }
    }
}

/// One decision of `adaptive` for one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// When.
    pub time: Timestamp,
    /// The kind.
    pub kind: Kind,
    /// What it runs.
    pub from: Strategy,
    /// What would be best.
    pub to: Strategy,
    /// Whether it was changed.
    pub acted: bool,
    /// Why, or why not: one line for people.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_takes_aliases_and_default_and_refuses_what_it_does_not_know() {
        let request = |text: &str| serde_json::from_str::<SwitchRequest>(text);
        let given = request(r#"{"strategy":"AggressiveCache","kinds":["po"],"rollbackAfter":"5m"}"#).expect("valid");
        assert_eq!(given.strategy, Wanted::Strategy(Strategy::Full));
        assert_eq!(given.kinds, Some(vec![Kind::Pod]));
        assert_eq!(
            request(r#"{"strategy":"default","kinds":["pods"]}"#)
                .expect("valid")
                .strategy,
            Wanted::Default
        );
        let error = request(r#"{"strategy":"eager"}"#).expect_err("no strategy").to_string();
        assert!(error.contains("none, lazy, selective, full, adaptive"), "{error}");
        assert!(
            request(r#"{"strategy":"none","dry_run":true}"#).is_err(),
            "a misspelt dryRun must not switch"
        );
    }
}
