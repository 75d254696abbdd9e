//! Kubernetes Events: core/v1 with firstTimestamp, lastTimestamp and count, so that
//! `kubectl get events --sort-by=.lastTimestamp` sorts (kube's own recorder sets none of them).
//!
//! Publishing is best effort and never delays a reconcile: [`Events::publish`] puts a notice into a bounded
//! queue, one task writes. The same thing said again within [`SERIES`] is a patch of the count; a token bucket
//! per object and one for all hold a storm back. What is dropped is counted. The reasons are a closed enum, and
//! notes never hold a secret: callers pass names and states only.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use neo4j_operator_shared::Kind;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};

use super::{Clock, Executor, MANAGER, Requests, Resource, manifest};

macro_rules! reasons {
    (normal: $($normal:ident),+; warning: $($warning:ident),+ $(;)?) => {
        /// Why an event was written; closed, so that people can filter on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // the variants are the reasons' own names
        pub enum EventReason { $($normal,)+ $($warning,)+ }

        impl EventReason {
            /// The reason as it stands in the event.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$normal => stringify!($normal),)+ $(Self::$warning => stringify!($warning),)+ }
            }

            /// `Normal` or `Warning`.
            pub const fn severity(self) -> &'static str {
                match self { $(Self::$normal => "Normal",)+ $(Self::$warning => "Warning",)+ }
            }
        }
    };
}

reasons! {
    normal: ClusterFormationStarted, ClusterReady, ServerEnabled, ScaleOutStarted, ScaleOutCompleted,
        ScaleDownDraining, ScaleDownCompleted, StorageExpansionStarted, StorageExpansionCompleted, UpgradeStarted,
        UpgradeCompleted, UpgradeDeferred, RollStarted, RollCompleted, ScalingRecommended, ScalingApplied,
        PasswordRotated, CertificateRenewed, DatabaseCreated, DatabaseReady, DatabaseDeleted, DatabaseTopologyChanged,
        DataImported, BackupScheduled, BackupStarted, BackupCompleted, BackupPruned, RestoreStarted,
        RestoreSeedProgress, RestoreCompleted, UserCreated, UserUpdated, UserDeleted, RoleUpdated, RoleGranted,
        RoleRevoked, PluginInstalled, PluginRemoved, AliasCreated, AliasRetargeted, AliasDropped, ReconcilePaused,
        ReconcileResumed, Adopted;
    warning: ClusterFormationFailed, BootstrapGateTooHigh, ValidationFailed, FieldIgnored, KindNotSupported,
        UnsupportedFeature, NameConflict, TopologyWarning, StorageClassNotFound, StorageExpansionFailed, UpgradePaused,
        UpgradeFailed, ScaleDownBlocked, ScalingBlocked, ConnectivityDegraded, SplitBrainDetected, PodCrashLooping,
        AuthSecretInvalid, IssuerNotReady, DuplicateEntry, CreationFailed, SeedFailed, BackupFailed, RestoreFailed,
        UserNotFound, RolesPending, PrivilegesDrifted, PluginFailed, AliasFailed, DeletionBlocked, ForcedDelete,
        ApiRateLimited, RetentionUnsupported;
}

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// The same said again within this time is one event with a count.
pub const SERIES: Duration = Duration::from_secs(600);
/// Events that wait to be written.
const QUEUE: usize = 256;
/// Series that are remembered.
const REMEMBERED: usize = 1024;
/// Longest note that the API takes.
const NOTE_LIMIT: usize = 1024;
/// Per object: this many at once, then one in [`OBJECT_REFILL`].
const OBJECT_BURST: f64 = 25.0;
const OBJECT_REFILL: Duration = Duration::from_secs(60);
/// All objects together: this many at once, then one in [`GLOBAL_REFILL`].
const GLOBAL_BURST: f64 = 200.0;
const GLOBAL_REFILL: Duration = Duration::from_millis(100);

struct Notice {
    subject: Subject,
    reason: EventReason,
    note: String,
    at: Timestamp,
}

/// Where reconciles publish. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Notice>,
    clock: Clock,
    dropped: Arc<AtomicU64>,
}

/// Writes what is published; [`Writer::run`] ends when the last [`Events`] is gone and the queue is empty.
pub struct Writer {
    queue: mpsc::Receiver<Notice>,
    executor: Executor,
    dropped: Arc<AtomicU64>,
    series: HashMap<SeriesKey, Series>,
    buckets: HashMap<String, Bucket>,
    global: Bucket,
}

/// Uid, reason, note.
type SeriesKey = (String, EventReason, String);

struct Series {
    name: String,
    count: u32,
    last: Instant,
}

/// A token bucket.
struct Bucket {
    tokens: f64,
    burst: f64,
    refill: Duration,
    at: Instant,
}

impl Events {
    /// The publishing end and the writer that somebody has to run.
    pub fn new(executor: Executor, clock: Clock) -> (Self, Writer) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let events = Self {
            queue: sender,
            clock,
            dropped: Arc::clone(&dropped),
        };
        let writer = Writer {
            queue: receiver,
            executor,
            dropped,
            series: HashMap::new(),
            buckets: HashMap::new(),
            global: Bucket::new(GLOBAL_BURST, GLOBAL_REFILL),
        };
        (events, writer)
    }

    /// Says something about an object. Never waits; a full queue drops it.
    pub fn publish(&self, subject: &Subject, reason: EventReason, note: impl Into<String>) {
        let mut note = note.into();
        if note.len() > NOTE_LIMIT {
            note.truncate(note.floor_char_boundary(NOTE_LIMIT - 4));
            note.push_str(" ...");
        }
        let notice = Notice {
            subject: subject.clone(),
            reason,
            note,
            at: (self.clock)(),
        };
        if self.queue.try_send(notice).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that were not written: full queue, empty bucket or an error of the API server.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// Writes until every publisher is gone.
    pub async fn run(mut self) {
        while let Some(notice) = self.queue.recv().await {
            if !self.admits(&notice) || !self.write(&notice).await {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether the buckets have a token for it.
    fn admits(&mut self, notice: &Notice) -> bool {
        let now = Instant::now();
        if self.buckets.len() >= REMEMBERED {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        let bucket = self
            .buckets
            .entry(notice.subject.uid.clone())
            .or_insert_with(|| Bucket::new(OBJECT_BURST, OBJECT_REFILL));
        bucket.take(now) && self.global.take(now)
    }

    async fn write(&mut self, notice: &Notice) -> bool {
        let now = Instant::now();
        if self.series.len() >= REMEMBERED {
            self.series.retain(|_, series| now.duration_since(series.last) < SERIES);
        }
        let key = (notice.subject.uid.clone(), notice.reason, notice.note.clone());
        let again = self
            .series
            .get(&key)
            .filter(|series| now.duration_since(series.last) < SERIES)
            .map(|series| (series.name.clone(), series.count + 1));
        if let Some((name, count)) = again {
            let body = json!({"count": count, "lastTimestamp": seconds(notice.at)});
            let namespace = &notice.subject.namespace;
            let requests = Requests::default();
            match self
                .executor
                .patch_merge(Kind::Event, namespace, &name, &body, &requests)
                .await
            {
                Ok(_) => {
                    let last = now;
                    self.series.insert(key, Series { name, count, last });
                    return true;
                }
                // The event's time to live passed: begin a new one.
                Err(error) if error.is_not_found() => {
                    self.series.remove(&key);
                }
                Err(error) => {
                    tracing::debug!(%error, "an event was not counted");
                    return false;
                }
            }
        }
        let (name, body) = event(notice);
        let namespace = &notice.subject.namespace;
        match self
            .executor
            .post(Kind::Event, namespace, &name, &body, &Requests::default())
            .await
        {
            Ok(_) => {
                // A series that is full of living entries takes no more; the event is written anyway.
                if self.series.len() < REMEMBERED {
                    let (count, last) = (1, now);
                    self.series.insert(key, Series { name, count, last });
                }
                true
            }
            Err(error) => {
                tracing::debug!(%error, reason = notice.reason.as_str(), "an event was not written");
                false
            }
        }
    }
}

/// Events carry whole seconds.
fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// Name and body of a new event. The name tells two events of one object apart by time and content.
fn event(notice: &Notice) -> (String, Value) {
    let Notice {
        subject,
        reason,
        note,
        at,
    } = notice;
    let mut base = subject.name.clone();
    base.truncate(base.floor_char_boundary(200));
    let mark = manifest::hash(&json!([
        subject.uid,
        reason.as_str(),
        note,
        at.as_nanosecond().to_string()
    ]));
    let name = format!("{base}.{}", &mark[..16]);
    let body = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": subject.namespace},
        "involvedObject": {
            "apiVersion": Resource::of(subject.kind).api_version(),
            "kind": subject.kind.kind(),
            "namespace": subject.namespace,
            "name": subject.name,
            "uid": subject.uid,
        },
        "reason": reason.as_str(),
        "message": note,
        "type": reason.severity(),
        "firstTimestamp": seconds(*at),
        "lastTimestamp": seconds(*at),
        "count": 1,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": MANAGER,
    });
    (name, body)
}

impl Bucket {
    fn new(burst: f64, refill: Duration) -> Self {
        Self {
            tokens: burst,
            burst,
            refill,
            at: Instant::now(),
        }
    }

    fn fill(&mut self, now: Instant) {
        let gained = now.duration_since(self.at).as_secs_f64() / self.refill.as_secs_f64();
        self.tokens = (self.tokens + gained).min(self.burst);
        self.at = now;
    }

    fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= self.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::testing::{Scripted, client};

    fn subject() -> Subject {
        Subject {
            kind: Kind::Neo4jEnterpriseCluster,
            namespace: "prod".into(),
            name: "graph".into(),
            uid: "u1".into(),
        }
    }

    fn events(server: &Scripted) -> (Events, Writer) {
        let clock: Clock = Arc::new(|| Timestamp::from_nanosecond(1_700_000_000_500_000_000).unwrap());
        let executor = Executor::new(client(server), crate::reconcile::executor::Options::default());
        Events::new(executor, clock)
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_can_be_sorted_by_time_and_a_repeated_one_is_counted() {
        let server = Scripted::default();
        server.answer(201, json!({}));
        server.answer(200, json!({}));
        let (events, writer) = events(&server);
        events.publish(
            &subject(),
            EventReason::NameConflict,
            "Service prod/graph-client exists",
        );
        events.publish(
            &subject(),
            EventReason::NameConflict,
            "Service prod/graph-client exists",
        );
        drop(events);
        writer.run().await;
        let seen = server.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].method, "POST");
        assert_eq!(seen[0].body["type"], "Warning");
        assert_eq!(seen[0].body["lastTimestamp"], "2023-11-14T22:13:20Z");
        assert_eq!(seen[0].body["involvedObject"]["uid"], "u1");
        assert_eq!(seen[1].method, "PATCH");
        assert_eq!(seen[1].body["count"], 2);
        let name = seen[0].body["metadata"]["name"].as_str().unwrap();
        assert_eq!(seen[1].path, format!("/api/v1/namespaces/prod/events/{name}"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_counted_event_that_expired_begins_anew() {
        let server = Scripted::default();
        server.answer(201, json!({}));
        server.answer(
            404,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "gone"}),
        );
        server.answer(201, json!({}));
        let (events, writer) = events(&server);
        events.publish(&subject(), EventReason::ClusterReady, "ready");
        events.publish(&subject(), EventReason::ClusterReady, "ready");
        drop(events);
        writer.run().await;
        let methods: Vec<_> = server.seen().into_iter().map(|seen| seen.method).collect();
        assert_eq!(methods, ["POST", "PATCH", "POST"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_about_one_object_is_held_back_and_counted() {
        let server = Scripted::default();
        for _ in 0..200 {
            server.answer(201, json!({}));
        }
        let (events, writer) = events(&server);
        for number in 0..100 {
            events.publish(&subject(), EventReason::ServerEnabled, format!("server {number}"));
        }
        let watcher = events.clone();
        drop(events);
        let run = tokio::spawn(writer.run());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(server.seen().len(), 25);
        assert_eq!(watcher.dropped(), 75);
        drop(watcher);
        run.await.unwrap();
    }
}
