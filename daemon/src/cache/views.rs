//! What the operator keeps of each kind: the fields that some reconciler reads, decoded straight from the
//! server's JSON. A field that nobody reads is not here, and costs neither time nor memory.

use jiff::Timestamp;
use neo4j_operator_shared::Kind;
use serde::{Deserialize, de::DeserializeOwned};

use super::{meta::Meta, weight};

/// A projection of one kind.
pub trait View: DeserializeOwned + Clone + Send + Sync + 'static {
    /// The kind.
    const KIND: Kind;
    /// Whether metadata is all that is asked of the server.
    const METADATA_ONLY: bool = false;
    /// Its metadata.
    fn meta(&self) -> &Meta;
    /// Bytes on the heap that belong to it, without the struct itself.
    fn bytes(&self) -> usize {
        self.meta().bytes()
    }
    /// Whether `self` differs from an earlier state in a way that an owner has to look at.
    fn differs(&self, before: &Self) -> bool {
        self.meta().resource_version() != before.meta().resource_version()
    }
    /// Whether it differs in a way that those who refer to it have to look at.
    fn differs_for_others(&self, before: &Self) -> bool {
        self.meta().resource_version() != before.meta().resource_version()
    }
}

/// Views that are nothing but metadata.
macro_rules! metadata_views {
    ($($(#[$doc:meta])* $name:ident = $kind:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
            pub struct $name {
                /// Metadata.
                pub metadata: Meta,
            }

            impl View for $name {
                const KIND: Kind = Kind::$kind;
                const METADATA_ONLY: bool = true;
                fn meta(&self) -> &Meta {
                    &self.metadata
                }
            }
        )*
    };
}

metadata_views! {
    /// A ConfigMap: what it says is compared by the hash of what we wrote.
    ConfigMapView = ConfigMap;
    /// A Secret without its data, which is never kept.
    SecretMeta = Secret;
    /// A ServiceAccount.
    ServiceAccountView = ServiceAccount;
    /// A Service, compared as a ConfigMap is.
    ServiceView = Service;
    /// A PodDisruptionBudget, compared as a ConfigMap is; what it allows is for others to read.
    PdbView = PodDisruptionBudget;
    /// A CronJob, compared as a ConfigMap is; what came of its runs is read from their Jobs.
    CronJobView = CronJob;
}

// === StatefulSet ===

/// A StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "RawStatefulSet")]
pub struct StatefulSetView {
    /// Metadata.
    pub metadata: Meta,
    /// Pods asked for.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Revision of the pods below the partition.
    pub current_revision: Option<Box<str>>,
    /// The newest revision.
    pub update_revision: Option<Box<str>>,
}

#[derive(Deserialize)]
struct RawStatefulSet {
    metadata: Meta,
    #[serde(default)]
    spec: RawStatefulSetSpec,
    #[serde(default)]
    status: RawStatefulSetStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatefulSetSpec {
    replicas: Option<i32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatefulSetStatus {
    ready_replicas: i32,
    current_revision: Option<Box<str>>,
    update_revision: Option<Box<str>>,
}

impl From<RawStatefulSet> for StatefulSetView {
    fn from(raw: RawStatefulSet) -> Self {
        Self {
            metadata: raw.metadata,
            // Absent means one, as the server defaults it.
            replicas: raw.spec.replicas.unwrap_or(1),
            ready: raw.status.ready_replicas,
            current_revision: raw.status.current_revision,
            update_revision: raw.status.update_revision,
        }
    }
}

impl View for StatefulSetView {
    const KIND: Kind = Kind::StatefulSet;
    fn meta(&self) -> &Meta {
        &self.metadata
    }
    fn bytes(&self) -> usize {
        self.metadata.bytes()
            + weight::text(self.current_revision.as_deref())
            + weight::text(self.update_revision.as_deref())
    }
}

// === PersistentVolumeClaim ===

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "RawPvc")]
pub struct PvcView {
    /// Metadata.
    pub metadata: Meta,
    /// `Pending`, `Bound` or `Lost`.
    pub phase: Option<Box<str>>,
}

#[derive(Deserialize)]
struct RawPvc {
    metadata: Meta,
    #[serde(default)]
    status: RawPvcStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPvcStatus {
    phase: Option<Box<str>>,
}

impl From<RawPvc> for PvcView {
    fn from(raw: RawPvc) -> Self {
        Self {
            metadata: raw.metadata,
            phase: raw.status.phase,
        }
    }
}

impl View for PvcView {
    const KIND: Kind = Kind::PersistentVolumeClaim;
    fn meta(&self) -> &Meta {
        &self.metadata
    }
    fn bytes(&self) -> usize {
        self.metadata.bytes() + weight::text(self.phase.as_deref())
    }
}

// === Job ===

/// A Job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "RawJob")]
pub struct JobView {
    /// Metadata.
    pub metadata: Meta,
    /// Whether it rests until somebody lets it go.
    pub suspended: bool,
    /// Pods that failed.
    pub failed: i32,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it succeeded, or failed for good.
    pub finished: Option<Timestamp>,
    /// Condition `Complete`.
    pub complete: bool,
    /// Condition `Failed`.
    pub gave_up: bool,
    /// Reason and message of the condition `Failed`.
    pub failure: Option<Box<str>>,
}

#[derive(Deserialize)]
struct RawJob {
    metadata: Meta,
    #[serde(default)]
    spec: RawJobSpec,
    #[serde(default)]
    status: RawJobStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawJobSpec {
    suspend: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawJobStatus {
    failed: Option<i32>,
    start_time: Option<Timestamp>,
    completion_time: Option<Timestamp>,
    conditions: Option<Vec<RawCondition>>,
}

/// A condition as most kinds write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawCondition {
    #[serde(rename = "type", default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) message: Option<String>,
    #[serde(default)]
    pub(super) last_transition_time: Option<Timestamp>,
}

impl From<RawJob> for JobView {
    fn from(raw: RawJob) -> Self {
        let conditions = raw.status.conditions.unwrap_or_default();
        let holds = |name: &str| {
            conditions
                .iter()
                .find(|condition| condition.name == name && condition.status == "True")
        };
        let failed = holds("Failed");
        Self {
            metadata: raw.metadata,
            suspended: raw.spec.suspend.unwrap_or(false),
            failed: raw.status.failed.unwrap_or(0),
            started: raw.status.start_time,
            finished: raw
                .status
                .completion_time
                .or_else(|| failed.and_then(|condition| condition.last_transition_time)),
            complete: holds("Complete").is_some(),
            gave_up: failed.is_some(),
            failure: failed.map(|condition| {
                let reason = condition.reason.as_deref().unwrap_or("Failed");
                match condition.message.as_deref() {
                    Some(message) if !message.is_empty() => format!("{reason}: {message}").into(),
                    _ => reason.into(),
                }
            }),
        }
    }
}

impl View for JobView {
    const KIND: Kind = Kind::Job;
    fn meta(&self) -> &Meta {
        &self.metadata
    }
    fn bytes(&self) -> usize {
        self.metadata.bytes() + weight::text(self.failure.as_deref())
    }
}
