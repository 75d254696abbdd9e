//! Backups in one process: the embedded API server, paused time, and Jobs and pods that the test plays.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{CronJob, Job},
        core::v1::{Event, Namespace, PersistentVolumeClaim, Pod, Secret, ServiceAccount},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use neo4j_devcluster::apiserver::{Options as ServerOptions, Server, TokioClock};
use neo4j_operator_crds::{Neo4jEnterpriseCluster, backup::status::RunStatus};
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    cache::Router,
    neo4j::testing::FakeCluster,
    reconcile::{Board, Clock, Events, Executor, StatusWriter, executor},
};

struct Scene {
    server: Server,
    client: kube::Client,
    context: Context,
    reconciler: BackupReconciler,
}

impl Scene {
    /// A formed cluster `c` in the namespace `ns`.
    async fn new() -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let server = Server::new(ServerOptions {
            clock: Arc::new(TokioClock::starting_at(start)),
            ..ServerOptions::default()
        });
        let client = server.client("ns");
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for definition in neo4j_operator_crds::definition::definitions().unwrap() {
            definitions.create(&PostParams::default(), &definition).await.unwrap();
        }
        let namespace = serde_json::from_value(json!({"metadata": {"name": "ns"}})).unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        let began = tokio::time::Instant::now();
        let clock: Clock = Arc::new(move || start.saturating_add(began.elapsed()).unwrap());
        let executor = Executor::new(client.clone(), executor::Options::default());
        let (events, writer) = Events::new(executor.clone(), clock.clone());
        tokio::spawn(writer.run());
        let context = Context {
            client: client.clone(),
            cache: Router::direct(client.clone()),
            status: StatusWriter::new(executor.clone()),
            executor,
            events,
            board: Board::new(Vec::new()),
            neo4j: FakeCluster::new(1, "92.9").registry(),
            clock,
        };
        let reconciler = BackupReconciler::new(Options {
            operator_image: "neo4j-operator:test".into(),
            cluster_domain: "cluster.local".into(),
        });
        let scene = Self {
            server,
            client,
            context,
            reconciler,
        };
        scene
            .create::<Neo4jEnterpriseCluster>(json!({"apiVersion": "neo4j.neo4j.com/v1beta1",
                "kind": "Neo4jEnterpriseCluster", "metadata": {"name": "c"},
                "spec": {"image": {"repo": "neo4j", "tag": "2025.08.0-enterprise"},
                    "topology": {"primaries": 3, "secondaries": 1},
                    "storage": {"size": "1Gi"}, "acceptLicenseAgreement": "yes"}}))
            .await;
        let formed = json!({"status": {"conditions": [{"type": "ClusterFormed", "status": "True", "reason": "Formed",
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        let parameters = PatchParams::default();
        scene
            .api::<Neo4jEnterpriseCluster>()
            .patch_status("c", &parameters, &Patch::Merge(&formed))
            .await
            .unwrap();
        scene
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), "ns")
    }

    async fn create<K>(&self, object: Json) -> K
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + serde::de::DeserializeOwned
            + serde::Serialize
            + Clone
            + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api::<K>().create(&PostParams::default(), &object).await.unwrap()
    }

    async fn backup(&self, name: &str, spec: &Json) {
        let mut whole = json!({"instanceRef": "c", "allDatabases": true,
            "storage": {"type": "pvc", "pvc": {"name": "artifacts", "size": "1Gi"}}});
        json_patch::merge(&mut whole, spec);
        self.create::<Neo4jBackup>(json!({"apiVersion": "neo4j.neo4j.com/v1beta1", "kind": "Neo4jBackup",
            "metadata": {"name": name}, "spec": whole}))
            .await;
    }

    async fn pass(&self, name: &str) -> Result<Done, Failure> {
        let key = Key {
            kind: Kind::Neo4jBackup,
            namespace: "ns".into(),
            name: name.into(),
        };
        let mut run = Run::begin(key.kind, "ns", name, "test", Duration::ZERO, self.context.now());
        self.reconciler.reconcile(&self.context, &key, &mut run).await
    }

    /// As many passes as a run needs to begin.
    async fn passes(&self, name: &str) {
        for _ in 0..3 {
            self.pass(name).await.unwrap();
        }
    }

    /// The Job ends, with one pod and its report.
    async fn end(&self, name: &str, code: i32, report: &Json) {
        let job = self.api::<Job>().get(name).await.unwrap();
        let mut labels = json!(job.labels());
        labels["batch.kubernetes.io/job-name"] = json!(name);
        let pod = format!("{name}-x");
        self.create::<Pod>(json!({"metadata": {"name": pod, "labels": labels, "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job.uid(), "controller": true}]},
            "spec": {"containers": [{"name": "backup", "image": "neo4j"}]}}))
            .await;
        let now = self.context.now().to_string();
        let ended = json!({"status": {"phase": "Succeeded", "containerStatuses": [{"name": "backup", "image": "neo4j",
            "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "finishedAt": now, "message": report.to_string()}}}]}});
        let parameters = PatchParams::default();
        self.api::<Pod>()
            .patch_status(&pod, &parameters, &Patch::Merge(&ended))
            .await
            .unwrap();
        let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": now, "lastProbeTime": now});
        let status = if code == 0 {
            json!({"startTime": now, "completionTime": now, "succeeded": 1,
                "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]})
        } else {
            json!({"startTime": now, "failed": 4, "conditions": [condition("FailureTarget"), condition("Failed")]})
        };
        self.api::<Job>()
            .patch_status(name, &parameters, &Patch::Merge(&json!({"status": status})))
            .await
            .unwrap();
    }

    async fn status(&self, name: &str) -> Neo4jBackupStatus {
        self.api::<Neo4jBackup>()
            .get(name)
            .await
            .unwrap()
            .status
            .unwrap_or_default()
    }

    /// Phase, Ready and its reason.
    async fn told(&self, name: &str) -> [String; 3] {
        let status = self.status(name).await;
        let ready = status.conditions.iter().find(|known| known.type_ == "Ready").unwrap();
        [
            status.phase.unwrap().to_string(),
            ready.status.clone(),
            ready.reason.clone(),
        ]
    }

    fn writes(&self) -> usize {
        self.server.requests().iter().filter(|record| record.is_write()).count()
    }

    async fn events(&self) -> Vec<String> {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let list = self.api::<Event>().list(&ListParams::default()).await.unwrap();
        let mut reasons: Vec<_> = list.items.into_iter().filter_map(|event| event.reason).collect();
        reasons.sort();
        reasons
    }
}

fn report(artifacts: &Json, error: Option<&str>) -> Json {
    json!({"version": 1, "exitCode": i32::from(error.is_some()), "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:00:04Z", "path": "/backups/backups/b", "artifacts": artifacts, "error": error})
}

#[tokio::test(start_paused = true)]
async fn a_backup_runs_once_reports_its_artifacts_and_never_again() {
    let scene = Scene::new().await;
    scene.backup("b", &json!({"retention": {"maxCount": 3}})).await;
    scene.pass("b").await.unwrap();
    assert_eq!(
        scene
            .api::<Job>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        0
    );
    let lease = scene.status("b").await.run_lease.unwrap();
    assert_eq!(
        lease.run_id.as_deref(),
        Some("b-backup"),
        "the lease comes before the effect"
    );
    scene.passes("b").await;
    assert_eq!(scene.told("b").await, ["Running", "False", "Running"]);
    let job = scene.api::<Job>().get("b-backup").await.unwrap();
    let pod = job.spec.unwrap().template.spec.unwrap();
    let command = pod.containers[0].command.clone().unwrap().join(" ");
    assert!(
        command.starts_with(
            "/program/neo4j-operator backup-run --from=c-secondary-0.c-headless.ns.svc.cluster.local:6362,c-primary-0."
        ),
        "a secondary comes first: {command}"
    );
    assert!(
        command.ends_with(
            "--to-path=/backups/backups/b --databases=* --type=AUTO --keep-count=3 --inspect=backup-inspect \
             -- --compress=true --include-metadata=all"
        ),
        "{command}"
    );
    let artifacts = json!([{"database": "neo4j", "file": "neo4j-1.backup", "bytes": 4096},
        {"database": "system", "file": "system-1.backup", "bytes": 4096}]);
    scene.end("b-backup", 0, &report(&artifacts, None)).await;
    scene.pass("b").await.unwrap();
    assert_eq!(scene.told("b").await, ["Completed", "True", "BackupSucceeded"]);
    let status = scene.status("b").await;
    let run = &status.history[0];
    assert_eq!(
        (run.status.clone(), run.database_artifacts.len()),
        (Some(RunStatus::Completed), 2)
    );
    assert_eq!(run.backups_path.as_deref(), Some("backups/b"));
    assert_eq!(status.stats.unwrap().size.as_deref(), Some("8.0 KiB"));
    assert!(status.last_success_time.is_some() && status.run_lease.is_none());
    assert_eq!(scene.events().await, ["BackupCompleted", "BackupStarted"]);
    let claim = scene.api::<PersistentVolumeClaim>().get("artifacts").await.unwrap();
    let account = scene.api::<ServiceAccount>().get("neo4j-backup-sa").await.unwrap();
    assert!(claim.owner_references().is_empty() && account.owner_references().is_empty());
    let before = scene.writes();
    let done = scene.pass("b").await.unwrap();
    assert_eq!(
        (done.outcome, scene.writes()),
        (Outcome::Converged, before),
        "a second pass writes nothing"
    );
    scene
        .api::<Job>()
        .delete("b-backup", &kube::api::DeleteParams::background())
        .await
        .unwrap();
    scene.pass("b").await.unwrap();
    assert_eq!(scene.told("b").await[0], "Completed");
    assert!(
        scene.api::<Job>().get_opt("b-backup").await.unwrap().is_none(),
        "it ran already"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_says_why_and_what_is_there_nevertheless() {
    let scene = Scene::new().await;
    scene.backup("b", &json!({})).await;
    scene.passes("b").await;
    let artifacts = json!([{"database": "neo4j", "file": "neo4j-1.backup", "bytes": 1}]);
    scene
        .end("b-backup", 1, &report(&artifacts, Some("system is away")))
        .await;
    scene.pass("b").await.unwrap();
    assert_eq!(scene.told("b").await, ["Failed", "False", "BackupFailed"]);
    let run = scene.status("b").await.history.remove(0);
    assert!(run.error.unwrap().starts_with("failed in part: system is away"));
    assert_eq!(run.database_artifacts.len(), 1);
    assert_eq!(scene.events().await, ["BackupFailed", "BackupStarted"]);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_is_a_cron_job_whose_jobs_wait_for_their_turn() {
    let scene = Scene::new().await;
    scene.backup("s", &json!({"schedule": "0 2 * * *"})).await;
    scene.passes("s").await;
    assert_eq!(scene.told("s").await, ["Scheduled", "True", "Scheduled"]);
    let next = scene.status("s").await.next_run_time.unwrap().0;
    assert_eq!(next.to_string(), "2026-01-01T02:00:00Z");
    let cron = scene.api::<CronJob>().get("s-backup-cron").await.unwrap();
    let spec = cron.spec.clone();
    assert_eq!(spec.concurrency_policy.as_deref(), Some("Forbid"));
    assert_eq!(scene.events().await, ["BackupScheduled"]);
    let before = scene.writes();
    scene.pass("s").await.unwrap();
    assert_eq!(scene.writes(), before, "a second pass writes nothing");
    // Another backup is under way when the time comes.
    scene.backup("b", &json!({})).await;
    scene.passes("b").await;
    let template = spec.job_template;
    scene
        .create::<Job>(
            json!({"metadata": {"name": "s-1", "labels": template.metadata.unwrap().labels,
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "s-backup-cron",
                "uid": cron.metadata.uid, "controller": true}]}, "spec": template.spec}),
        )
        .await;
    scene.pass("s").await.unwrap();
    assert_eq!(scene.told("s").await, ["Waiting", "False", "AnotherBackupRunning"]);
    scene.end("b-backup", 0, &report(&json!([]), None)).await;
    scene.pass("s").await.unwrap();
    assert_eq!(
        scene.api::<Job>().get("s-1").await.unwrap().spec.unwrap().suspend,
        Some(false)
    );
    scene.end("s-1", 0, &report(&json!([]), None)).await;
    scene.pass("s").await.unwrap();
    assert_eq!(scene.told("s").await, ["Scheduled", "True", "BackupSucceeded"]);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_gets_its_keys_by_reference_and_no_retention() {
    let scene = Scene::new().await;
    let storage = json!({"storage": {"type": "s3", "pvc": null, "bucket": "bucket", "path": "nightly",
            "cloud": {"provider": "aws", "credentialsSecretRef": "keys", "endpointURL": "http://minio:9000",
                "forcePathStyle": true}}, "retention": {"maxAge": "7d"}});
    scene.backup("b", &storage).await;
    scene.passes("b").await;
    assert_eq!(
        scene.told("b").await,
        ["Waiting", "False", "Pending"],
        "the Secret is missing"
    );
    scene
        .create::<Secret>(json!({"metadata": {"name": "keys"}, "stringData": {"AWS_ACCESS_KEY_ID": "canary"}}))
        .await;
    scene.passes("b").await;
    let job = scene.api::<Job>().get("b-backup").await.unwrap();
    let text = serde_json::to_string(&job.spec).unwrap();
    for part in [
        "--to-path=s3://bucket/nightly/b/",
        "AWS_ENDPOINT_URL_S3",
        "-Daws.s3.forcePathStyle=true",
        "secretKeyRef",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("canary") && !text.contains("--keep-age"));
    scene.end("b-backup", 0, &report(&json!([]), None)).await;
    scene.pass("b").await.unwrap();
    assert_eq!(scene.told("b").await[0], "Completed");
    assert_eq!(
        scene.events().await,
        ["BackupCompleted", "BackupStarted", "RetentionUnsupported"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_creates_nothing_and_what_is_missing_is_waited_for() {
    let scene = Scene::new().await;
    for (name, spec, reason) in [
        ("x", json!({"mode": "replication-source"}), "UnsupportedFeature"),
        ("check", json!({"options": {"validate": true}}), "UnsupportedFeature"),
        ("cron", json!({"schedule": "every night"}), "ValidationFailed"),
        (
            "old",
            json!({"options": {"remoteAddressResolution": true}}),
            "ValidationFailed",
        ),
    ] {
        scene.backup(name, &spec).await;
        assert!(scene.pass(name).await.unwrap_err().terminal, "{name}");
        assert_eq!(scene.told(name).await, ["Invalid", "False", reason], "{name}");
    }
    scene.backup("w", &json!({"instanceRef": "nobody"})).await;
    scene.pass("w").await.unwrap();
    assert_eq!(scene.told("w").await, ["Waiting", "False", "WaitingForTarget"]);
    assert_eq!(
        scene
            .api::<Job>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        0
    );
    assert_eq!(
        scene.api::<ServiceAccount>().get_opt("neo4j-backup-sa").await.unwrap(),
        None
    );
}
