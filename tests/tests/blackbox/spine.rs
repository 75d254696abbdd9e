//! Every example comes to the end state that it states, and leaves nothing behind but what must outlive it. `rights.rs`
//! does it with the role of a namespace and with that of a whole cluster.

use std::collections::BTreeSet;

use neo4j_operator_crds::examples::{EndState, Example};
use serde_json::{Value, json};

use crate::scene::{CLUSTER, Scene, condition, examples, is_ready, text};

/// Kinds whose objects come and go by themselves.
const PASSING: [&str; 2] = ["Event", "Lease"];

/// Every example comes to its end state, and leaves only what outlives it.
pub async fn every_example_comes_to_its_end(scene: &Scene) {
    let before: BTreeSet<_> = scene.inventory().await.into_keys().collect();
    let examples = examples();
    assert!(examples.len() >= 10, "there are only {} examples", examples.len());
    for object in examples.iter().flat_map(|example| &example.objects) {
        scene.apply(object).await;
    }
    for example in &examples {
        comes_to_its_end(scene, example).await;
    }
    let retained = retained(scene, &examples).await;
    // Clusters last: what lives in one is let go of first, as a user would.
    for object in examples.iter().rev().flat_map(|example| example.objects.iter().rev()) {
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        scene.delete(kind, name).await;
    }
    scene
        .wait_for("an end of everything that need not stay", async || {
            let left: BTreeSet<_> = scene.inventory().await.into_keys().collect();
            let ours = left.difference(&before).filter(|id| {
                // The volume of a claim that stays is named by the claim's uid.
                !PASSING.contains(&id.0.as_str()) && id.0 != "PersistentVolume"
            });
            let found: BTreeSet<_> = ours.cloned().map(|(kind, _, name)| (kind, name)).collect();
            if found != retained {
                eprintln!(
                    "too many: {:?}; missing: {:?}",
                    found.difference(&retained).collect::<Vec<_>>(),
                    retained.difference(&found).collect::<Vec<_>>()
                );
            }
            (found == retained).then_some(())
        })
        .await;
    let claims = retained
        .iter()
        .filter(|(kind, _)| kind == "PersistentVolumeClaim")
        .count();
    // Its controller removes the volume of a claim that is gone a moment later.
    scene
        .wait_for("a volume for each claim that stays, and no other", async || {
            let all = scene.inventory().await;
            let volumes = all.keys().filter(|(kind, ..)| kind == "PersistentVolume").count();
            (volumes == claims).then_some(())
        })
        .await;
}

async fn comes_to_its_end(scene: &Scene, example: &Example) {
    let (kind, name) = (&*example.kind, &*example.name);
    match &example.end {
        EndState::Ready => {
            let object = scene.wait_ready(kind, name).await;
            match kind {
                CLUSTER => is_formed(scene, &object).await,
                _ => is_online(&object),
            }
        }
        EndState::Phase { phase, reason } => {
            let there = |object: &Value| {
                let said = condition(object, "Ready").map(|ready| text(ready, "/reason"));
                object["status"]["phase"] == **phase
                    && object["status"]["observedGeneration"] == object["metadata"]["generation"]
                    && reason.as_deref().is_none_or(|reason| said == Some(reason))
            };
            let object = scene.wait(kind, name, &format!("{:?}", example.end), there).await;
            match &**phase {
                "Completed" => has_run(&object),
                "Scheduled" => runs_by_its_schedule(scene, name, &object).await,
                "Failed" => scene.wait_event(name, "UnsupportedFeature", "seed").await,
                other => panic!("no test for an end state {other}"),
            }
        }
    }
}

/// All pods are ready and all servers take part.
async fn is_formed(scene: &Scene, cluster: &Value) {
    let topology = &cluster["spec"]["topology"];
    let count = |field: &str| topology[field].as_i64().unwrap_or(0);
    let servers = count("servers") + count("primaries") + count("secondaries");
    let status = &cluster["status"];
    assert_eq!(status["phase"], "Ready", "{status:#}");
    assert_eq!(status["replicas"]["ready"], servers, "{status:#}");
    let enabled: i64 = status["pools"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pool| pool["enabled"].as_i64())
        .sum();
    assert_eq!(enabled, servers, "{status:#}");
    let name = text(cluster, "/metadata/name");
    let mut ready = 0;
    for set in scene.list("StatefulSet").await {
        if set["metadata"]["labels"]["neo4j.com/cluster"] != name {
            continue;
        }
        // The operator looks at the pods; the set counts them a little later.
        let (kind, called) = ("StatefulSet", text(&set, "/metadata/name"));
        let set = scene
            .wait(kind, called, "a count of all its pods", |set| {
                set["status"]["readyReplicas"] == set["spec"]["replicas"]
            })
            .await;
        assert_eq!(
            set["spec"]["updateStrategy"]["rollingUpdate"]["partition"], set["spec"]["replicas"],
            "{name}: a changed template must not reach pods by itself"
        );
        ready += set["status"]["readyReplicas"].as_i64().unwrap_or(0);
    }
    assert_eq!(ready, servers, "{name}");
}

/// The database is online at the topology that was asked for.
fn is_online(database: &Value) {
    let (topology, status) = (&database["spec"]["topology"], &database["status"]);
    assert_eq!(status["state"], "online", "{status:#}");
    if topology.is_object() {
        let count = |field: &str| topology[field].as_i64().unwrap_or(0);
        assert_eq!(status["currentPrimaries"], count("primaries"), "{status:#}");
        assert_eq!(
            status["currentSecondaries"].as_i64().unwrap_or(0),
            count("secondaries"),
            "{status:#}"
        );
    }
}

fn has_run(backup: &Value) {
    let run = &backup["status"]["history"][0];
    assert_eq!(run["status"], "Completed", "{:#}", backup["status"]);
    assert!(
        backup["status"]["lastSuccessTime"].is_string(),
        "{:#}",
        backup["status"]
    );
    if backup["spec"]["storage"]["type"] == "pvc" {
        let artifacts = run["databaseArtifacts"].as_array().map_or(0, Vec::len);
        assert!(artifacts > 0, "a verified artifact for each database: {run:#}");
    }
}

/// Its time comes, and a run that is started by hand, as `kubectl create job --from` does, is noted.
async fn runs_by_its_schedule(scene: &Scene, name: &str, backup: &Value) {
    assert!(backup["status"]["nextRunTime"].is_string(), "{:#}", backup["status"]);
    let schedule = scene.get("CronJob", &format!("{name}-backup-cron")).await.unwrap();
    assert_eq!(schedule["spec"]["schedule"], backup["spec"]["schedule"]);
    let template = &schedule["spec"]["jobTemplate"];
    let mut annotations = template["metadata"]["annotations"].clone();
    if !annotations.is_object() {
        annotations = json!({});
    }
    annotations["cronjob.kubernetes.io/instantiate"] = json!("manual");
    scene
        .apply(&json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": format!("{name}-by-hand"), "annotations": annotations,
                "labels": template["metadata"]["labels"],
                "ownerReferences": [{
                    "apiVersion": "batch/v1", "kind": "CronJob", "controller": true,
                    "name": schedule["metadata"]["name"], "uid": schedule["metadata"]["uid"],
                }],
            },
            "spec": template["spec"],
        }))
        .await;
    let ran = scene
        .wait("Neo4jBackup", name, "one run", |backup| {
            backup["status"]["history"][0]["status"] == "Completed"
        })
        .await;
    assert_eq!(ran["status"]["phase"], "Scheduled", "{:#}", ran["status"]);
}

/// What must stay when everything is deleted: data that was kept, and what is needed to use it again.
async fn retained(scene: &Scene, examples: &[Example]) -> BTreeSet<(String, String)> {
    let mut stays = BTreeSet::from([("ServiceAccount".to_owned(), "neo4j-backup-sa".to_owned())]);
    let claims = scene.list("PersistentVolumeClaim").await;
    for object in examples.iter().flat_map(|example| &example.objects) {
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        let claim = text(object, "/spec/storage/pvc/name");
        if !claim.is_empty() {
            stays.insert(("PersistentVolumeClaim".to_owned(), claim.to_owned()));
        }
        if kind != CLUSTER || object["spec"]["storage"]["retentionPolicy"] == "Delete" {
            continue;
        }
        stays.insert(("Secret".to_owned(), format!("{name}-operator-auth")));
        let of_cluster = claims
            .iter()
            .filter(|claim| claim["metadata"]["labels"]["neo4j.com/cluster"] == name);
        let data = of_cluster.map(|claim| text(claim, "/metadata/name"));
        stays.extend(data.map(|claim| ("PersistentVolumeClaim".to_owned(), claim.to_owned())));
    }
    stays
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_cache_a_cluster_forms_and_what_is_deleted_by_hand_comes_back() {
    let scene = Scene::start(&["--cache-strategy=none"]).await;
    let cluster = scene.ready_cluster("graph").await;
    assert!(is_ready(&cluster));
    let service = scene.get("Service", "graph-client").await.unwrap();
    scene.delete("Service", "graph-client").await;
    scene
        .wait("Service", "graph-client", "another Service", |found| {
            found["metadata"]["uid"] != service["metadata"]["uid"]
        })
        .await;
}
