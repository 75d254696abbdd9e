//! The real control plane starts, holds the operator to its shipped rights, and leaves nothing behind.
//! With `TARGET=real` only: it needs programs that `make test-e2e` builds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolume, PersistentVolumeClaim};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use neo4j_operator_tests::{
    controlplane::{ControlPlane, Minor, Options},
    harness::{StackError, client_of, install_crds, target::Target, wait_until},
    rights::{self, Scope},
};
use serde_json::{Value, json};

/// Set in the copy of this test program that is killed.
const VICTIM: &str = "CONTROLPLANE_TEST_VICTIM";

fn real() -> bool {
    Target::from_env().unwrap() == Target::Real
}

#[tokio::test]
async fn the_oldest_and_the_newest_minor_serve_and_hold_the_operator_to_its_rights() {
    if !real() {
        return;
    }
    for minor in [Minor::OLDEST, Minor::NEWEST] {
        let options = Options {
            emulated: Some(minor),
            ..Options::default()
        };
        let plane = ControlPlane::start(&options).await.unwrap();
        let client = plane.client();
        let version: Value = client
            .request(http::Request::get("/version").body(Vec::new()).unwrap())
            .await
            .unwrap();
        let emulated = ["emulationMajor", "emulationMinor"].map(|part| version[part].as_str().unwrap_or_default());
        assert_eq!(emulated.join("."), minor.to_string(), "{version}");
        install_crds(&client).await.unwrap();
        claim_is_bound(&client).await;

        let files = tempfile::tempdir().unwrap();
        let scope = Scope::Namespaces(&["one", "two"]);
        let path = rights::operator_kubeconfig(&client, plane.kubeconfig(), scope, files.path())
            .await
            .unwrap();
        let operator = client_of(&path, None).await.unwrap();
        let list = |namespace: &str| {
            let maps: Api<ConfigMap> = Api::namespaced(operator.clone(), namespace);
            async move { maps.list(&ListParams::default()).await.map(drop) }
        };
        list("one").await.unwrap();
        list("two").await.unwrap();
        let refused = list("default").await.unwrap_err().to_string();
        assert!(refused.contains("cannot list resource"), "{refused}");
        let nodes: Api<Node> = Api::all(operator.clone());
        nodes.list(&ListParams::default()).await.unwrap_err();

        let audit = plane.audit().unwrap();
        let answers: Vec<_> = audit
            .iter()
            .filter(|record| record.user == rights::user("one"))
            .map(|record| (record.verb.as_str(), record.resource.as_str(), record.code))
            .collect();
        let expected = [
            ("list", "configmaps", 200),
            ("list", "configmaps", 200),
            ("list", "configmaps", 403),
            ("list", "nodes", 403),
        ];
        assert_eq!(answers, expected);
    }
}

/// The host-path provisioner of kube-controller-manager works: nothing of ours binds claims here.
async fn claim_is_bound(client: &Client) {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "default");
    let claim = serde_json::from_value(json!({
        "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    }))
    .unwrap();
    claims.create(&PostParams::default(), &claim).await.unwrap();
    wait_until("the claim being bound", Duration::from_secs(60), || {
        let claims = claims.clone();
        async move {
            let claim = claims.get("data").await.map_err(|error| StackError::Kube {
                what: "claim",
                source: Box::new(error),
            })?;
            let phase = claim.status.and_then(|status| status.phase);
            Ok((phase.as_deref() == Some("Bound")).then_some(()))
        }
    })
    .await
    .unwrap();
    // With the claim goes the folder that the provisioner has made for it on this machine.
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    wait_until("the volume being gone", Duration::from_secs(60), || {
        let volumes = volumes.clone();
        async move {
            let left = volumes.list(&ListParams::default()).await;
            Ok(left.is_ok_and(|left| left.items.is_empty()).then_some(()))
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_killed_run_leaves_no_process_and_the_next_removes_its_folder() {
    if !real() {
        return;
    }
    if std::env::var_os(VICTIM).is_some() {
        let plane = ControlPlane::start(&Options {
            controllers: false,
            ..Options::default()
        })
        .await
        .unwrap();
        let ids: Vec<_> = plane
            .processes()
            .iter()
            .map(|process| process.id().to_string())
            .collect();
        println!("victim {} {}", plane.folder().display(), ids.join(" "));
        std::future::pending::<()>().await;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "a_killed_run_leaves_no_process_and_the_next_removes_its_folder",
        ])
        .env(VICTIM, "yes")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let said = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("victim ").map(|(_, said)| said.to_owned()))
        .expect("the victim ended before its control plane was up");
    let mut words = said.split(' ');
    let folder = std::path::PathBuf::from(words.next().unwrap());
    let processes: Vec<i32> = words.map(|word| word.parse().unwrap()).collect();
    assert_eq!(processes.len(), 2);
    assert!(folder.is_dir());

    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_until("the end of etcd and kube-apiserver", Duration::from_secs(20), || {
        let gone = processes.iter().all(|process| {
            // Where nobody waits for orphans, one that has ended stays as a zombie.
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
            stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
                || rustix::process::test_kill_process(rustix::process::Pid::from_raw(*process).unwrap()).is_err()
        });
        async move { Ok(gone.then_some(())) }
    })
    .await
    .unwrap();
    drop(
        ControlPlane::start(&Options {
            controllers: false,
            ..Options::default()
        })
        .await
        .unwrap(),
    );
    assert!(!folder.exists(), "{} was left behind", folder.display());
}
