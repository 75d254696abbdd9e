use serde_json::{Value, json};

use super::*;
use crate::kube::testing::{Reply, client, error};

fn page(items: usize, metadata: Value) -> Reply {
    let object = json!({"metadata": {"name": "a"}, "spec": {"text": "x".repeat(100)}});
    Reply::Json(200, json!({"metadata": metadata, "items": vec![object; items]}))
}

const EVERYWHERE: [Option<Arc<str>>; 1] = [None];

fn namespaces(count: usize) -> Vec<Option<Arc<str>>> {
    (0..count).map(|number| Some(format!("n{number}").into())).collect()
}

#[tokio::test]
async fn a_page_tells_how_many_there_are_and_how_large() {
    let (client, log) = client(|_, _| page(20, json!({"continue": "more", "remainingItemCount": 980})));
    let seen = look(&client, Kind::Pod, &EVERYWHERE).await;
    assert_eq!(seen.total, Some(1000));
    assert!(
        seen.wire.is_some_and(|bytes| (100.0..200.0).contains(&bytes)),
        "{seen:?}"
    );
    assert!(seen.rtt.is_some());
    assert_eq!(*log.lock().unwrap(), ["GET /api/v1/pods?&limit=20"]);
}

#[tokio::test]
async fn a_scope_is_asked_by_namespace_and_of_many_only_some() {
    let (client, log) = client(|_, _| page(5, json!({})));
    let seen = look(&client, Kind::StatefulSet, &namespaces(2)).await;
    assert_eq!(seen.total, Some(10));
    assert!(log.lock().unwrap()[0].starts_with("GET /apis/apps/v1/namespaces/n0/statefulsets?"));
    log.lock().unwrap().clear();
    let seen = look(&client, Kind::StatefulSet, &namespaces(80)).await;
    assert_eq!((seen.total, log.lock().unwrap().len()), (Some(400), NAMESPACES));
}

#[tokio::test]
async fn of_secrets_metadata_is_asked_for() {
    let accepts = Arc::new(Mutex::new(Vec::new()));
    let service = {
        let accepts = Arc::clone(&accepts);
        tower::service_fn(move |request: http::Request<Body>| {
            let accept = request
                .headers()
                .get(http::header::ACCEPT)
                .map(|accept| accept.to_str().unwrap().to_owned());
            accepts.lock().unwrap().push(accept.unwrap_or_default());
            async { Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(b"{\"metadata\":{}}".to_vec()))) }
        })
    };
    let client = Client::new(service, "default");
    assert_eq!(look(&client, Kind::Secret, &EVERYWHERE).await.total, Some(0));
    look(&client, Kind::Pod, &EVERYWHERE).await;
    let accepts = accepts.lock().unwrap();
    assert!(accepts[0].contains("PartialObjectMetadataList"), "{}", accepts[0]);
    assert!(!accepts[1].contains("PartialObjectMetadata"));
}

#[tokio::test]
async fn what_is_refused_or_is_no_answer_stays_unknown() {
    let cases: [fn() -> Reply; 6] = [
        || error(403),
        || error(404),
        || error(500),
        || Reply::Json(200, json!("no list")),
        || Reply::Json(200, json!({"items": []})),
        || Reply::Json(200, json!({"metadata": {}, "items": {"a": 1}})),
    ];
    for case in cases {
        let (client, _) = client(move |_, _| case());
        assert_eq!(look(&client, Kind::Pod, &EVERYWHERE).await, Seen::default());
    }
    let (client, _) = client(|_, _| page(20, json!({"continue": "more"})));
    let seen = look(&client, Kind::Pod, &EVERYWHERE).await;
    assert_eq!(seen.total, None, "the server does not say how many more");
    assert!(seen.wire.is_some());
}

#[tokio::test]
async fn one_namespace_that_is_refused_makes_the_total_unknown() {
    let (client, _) = client(|_, uri| {
        if uri.path().contains("/n1/") {
            error(403)
        } else {
            page(5, json!({}))
        }
    });
    let seen = look(&client, Kind::Pod, &namespaces(3)).await;
    assert_eq!(seen.total, None);
    assert!(seen.wire.is_some());
    assert_eq!(look(&client, Kind::Pod, &[]).await, Seen::default());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_costs_two_seconds() {
    let (client, _) = client(|_, _| Reply::Silence);
    let begun = Instant::now();
    assert_eq!(look(&client, Kind::Pod, &EVERYWHERE).await, Seen::default());
    assert_eq!(begun.elapsed(), DEADLINE);
}

#[tokio::test]
async fn an_answer_that_is_far_too_long_is_not_read() {
    let (client, _) = client(|_, _| Reply::Json(200, json!({"metadata": {"x": "y".repeat(LONGEST)}})));
    assert_eq!(look(&client, Kind::Pod, &EVERYWHERE).await, Seen::default());
}

#[tokio::test(start_paused = true)]
async fn a_kind_is_looked_at_once_a_minute_and_what_was_known_stays() {
    let mut answers = 0;
    let (client, log) = client(move |_, _| {
        answers += 1;
        if answers == 2 {
            error(500)
        } else {
            page(answers * 5, json!({}))
        }
    });
    let probes = Probes::default();
    assert_eq!(probes.known(Kind::Pod), Seen::default());
    for _ in 0..3 {
        assert_eq!(probes.look(&client, Kind::Pod, &EVERYWHERE).await.total, Some(5));
    }
    assert_eq!(log.lock().unwrap().len(), 1);
    tokio::time::advance(PAUSE).await;
    assert_eq!(probes.look(&client, Kind::Pod, &EVERYWHERE).await.total, Some(5));
    assert_eq!(log.lock().unwrap().len(), 2);
    tokio::time::advance(PAUSE).await;
    assert_eq!(probes.look(&client, Kind::Pod, &EVERYWHERE).await.total, Some(15));
    assert_eq!(probes.known(Kind::Pod).total, Some(15));
}
