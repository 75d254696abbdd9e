//! `GET /v1/events`: server-sent events. The `id:` line is [`EventId`], the `event:` line is
//! [`Payload::name`], the `data:` line is an [`Event`] as JSON.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Kind, Strategy, Timestamp,
    cache::WarmupResult,
    goals::Goal,
    memory::Trigger,
    reconciles::Outcome,
    switch::{By, OperationState},
    watches::WatchState,
};

/// `<boot id>-<sequence>`. The boot id holds no `-`; sequences begin at 1 and have no holes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventId {
    /// Which process.
    pub boot: String,
    /// Which event of it.
    pub sequence: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.boot, self.sequence)
    }
}

/// A `Last-Event-ID` that this API never sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEventId;

impl fmt::Display for InvalidEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an event id; send back the id of the last event you got, or none")
    }
}

impl std::error::Error for InvalidEventId {}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (boot, sequence) = text.rsplit_once('-').ok_or(InvalidEventId)?;
        let valid = !boot.is_empty() && boot.len() <= 64 && boot.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let sequence = sequence.parse().map_err(|_| InvalidEventId)?;
        if valid {
            Ok(Self {
                boot: boot.to_owned(),
                sequence,
            })
        } else {
            Err(InvalidEventId)
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody should look.
    Warning,
    /// Something does not work.
    Error,
}

/// One event of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When it happened, by the daemon's clock.
    pub time: Timestamp,
    /// How bad it is.
    pub severity: Severity,
    /// Cluster as `namespace/name`, where it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// One line for people.
    pub message: String,
    /// What it is.
    #[serde(flatten)]
    pub payload: Payload,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Payload {
    /// First event of every connection; it has no place in the sequence.
    Hello {
        /// Version of the daemon.
        version: String,
        /// When it started.
        started_at: Timestamp,
        /// Whether it may write.
        leader: bool,
        /// Whether it writes at all.
        read_only: bool,
        /// The default strategy.
        strategy: Strategy,
        /// Goals with their targets.
        goals: Vec<Goal>,
    },
    /// Events that are gone for good; it has no place in the sequence.
    Gap {
        /// How many; absent when that is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missed: Option<u64>,
    },
    /// A reconcile ended.
    Reconcile {
        /// Id in the flight recorder.
        id: String,
        /// Kind of the custom resource.
        kind: Kind,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// How it ended.
        outcome: Outcome,
        /// How long it took.
        seconds: f64,
    },
    /// The phase of a cluster changed.
    ClusterPhase {
        /// The phase before; absent for a cluster seen for the first time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The phase now.
        to: String,
    },
    /// A list was read anew.
    Relist {
        /// Which kind.
        kind: Kind,
        /// Objects in the list.
        objects: u64,
        /// Seconds it took.
        seconds: f64,
    },
    /// A watch changed its state.
    Watch {
        /// Which kind.
        kind: Kind,
        /// The state now.
        state: WatchState,
    },
    /// A change of the cache strategy got on.
    CacheSwitch {
        /// Its id.
        operation: String,
        /// How far it is.
        state: OperationState,
        /// Who asked for it.
        by: By,
        /// The strategy before.
        from: Strategy,
        /// The strategy asked for.
        to: Strategy,
        /// The kind that got on; absent where it is about all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<Kind>,
    },
    /// A kind was warmed up, or was not.
    CacheWarmup {
        /// Which kind.
        kind: Kind,
        /// How it ended.
        result: WarmupResult,
        /// Objects it holds.
        objects: u64,
        /// Seconds it took.
        seconds: f64,
    },
    /// Memory was given back.
    MemoryReclaim {
        /// Its number since the start.
        id: u64,
        /// What brought it about.
        trigger: Trigger,
        /// Bytes in use no longer.
        freed: u64,
        /// Resident bytes returned to the operating system.
        returned: u64,
        /// Seconds it took.
        seconds: f64,
    },
    /// The memory level changed.
    MemoryLevel {
        /// The level before, 0 to 3.
        from: u8,
        /// The level now.
        to: u8,
        /// Resident bytes ÷ limit.
        pressure: f64,
    },
    /// Somebody asked for a change through the control API.
    ControlAudit {
        /// Method and path, as `POST /v1/memory/gc`.
        request: String,
        /// Status code of the answer.
        code: u16,
    },
    /// A goal was broken or met again.
    Goal {
        /// The goal as it is now.
        goal: Goal,
    },
    /// A log line of level warning or above.
    Log {
        /// Module that wrote it.
        target: String,
    },
    /// An event of a kind that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl Payload {
    /// The value of the `event:` line and of the filter `?type=`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Gap { .. } => "gap",
            Self::Reconcile { .. } => "reconcile",
            Self::ClusterPhase { .. } => "cluster_phase",
            Self::Relist { .. } => "relist",
            Self::Watch { .. } => "watch",
            Self::CacheSwitch { .. } => "cache_switch",
            Self::CacheWarmup { .. } => "cache_warmup",
            Self::MemoryReclaim { .. } => "memory_reclaim",
            Self::MemoryLevel { .. } => "memory_level",
            Self::ControlAudit { .. } => "control_audit",
            Self::Goal { .. } => "goal",
            Self::Log { .. } => "log",
            Self::Unknown => "unknown",
        }
    }

    /// Names that the filter `?type=` takes.
    pub const NAMES: [&str; 11] = [
        "reconcile",
        "cluster_phase",
        "relist",
        "watch",
        "cache_switch",
        "cache_warmup",
        "memory_reclaim",
        "memory_level",
        "control_audit",
        "goal",
        "log",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_garbage_is_refused() {
        let id = EventId {
            boot: "k3x9".into(),
            sequence: 17,
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "-", "x", "x-", "-1", "a b-1", "x--1", "x-99999999999999999999999"] {
            assert_eq!(text.parse::<EventId>(), Err(InvalidEventId), "{text:?}");
        }
    }

    #[test]
    fn an_event_of_a_later_version_is_read_as_unknown() {
        let text = r#"{"time":"2026-01-01T00:00:00Z","severity":"info","message":"m","type":"breaker","endpoint":"x"}"#;
        let event: Event = serde_json::from_str(text).expect("tolerated");
        assert_eq!(event.payload, Payload::Unknown);
    }
}
