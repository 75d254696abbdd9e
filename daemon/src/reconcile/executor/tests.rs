//! What no model of a server shows: answers in an order of our own.

use super::*;
use crate::reconcile::{
    ownership::owner_reference,
    testing::{Scripted, client},
};

fn manifest() -> Manifest {
    let owner = owner_reference(Kind::Neo4jEnterpriseCluster, "graph", "u");
    let body = json!({"metadata": {"labels": {"neo4j.com/cluster": "graph"}}, "spec": {}});
    Manifest::new(Kind::StatefulSet, "n", "graph-server", Some(&owner), &body).unwrap()
}

fn stored(labels: Value, deleting: Value) -> Value {
    let owner = owner_reference(Kind::Neo4jEnterpriseCluster, "graph", "u");
    json!({"metadata": {
        "name": "graph-server", "uid": "s", "resourceVersion": "5", "labels": labels,
        "ownerReferences": [owner], "deletionTimestamp": deleting,
    }})
}

async fn found_again(answers: Vec<Value>) -> (Result<bool, EffectError>, usize) {
    let server = Scripted::default();
    for answer in answers {
        server.answer(200, answer);
    }
    let executor = Executor::new(client(&server), Options::default());
    let found = executor.found_again(&manifest(), &Requests::default()).await;
    (found, server.seen().len())
}

#[tokio::test]
async fn an_object_of_ours_without_its_labels_gets_them_back_and_whoever_takes_them_again_is_told() {
    let (bare, whole) = (json!({}), json!({"neo4j.com/cluster": "graph"}));
    let of = |labels: &Value| stored(labels.clone(), Value::Null);
    let (found, requests) = found_again(vec![of(&bare), of(&whole)]).await;
    assert_eq!((found.unwrap(), requests), (true, 2));
    let (found, requests) = found_again(vec![of(&bare), of(&bare)]).await;
    let error = found.unwrap_err();
    assert!(matches!(error, EffectError::Unlabelled { .. }), "{error}");
    assert!(error.to_string().contains("admission webhook"), "{error}");
    assert_eq!(requests, 2);
    // Nothing to mend: it has them, or it goes.
    let (found, requests) = found_again(vec![of(&whole)]).await;
    assert_eq!((found.unwrap(), requests), (false, 1));
    let going = stored(bare, json!("2026-01-01T00:00:00Z"));
    let (found, requests) = found_again(vec![going]).await;
    assert_eq!((found.unwrap(), requests), (false, 1));
}
