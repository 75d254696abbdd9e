use kube::{Client, core::Request as Path};
use serde_json::{Value, json};

use super::*;
use crate::kube::testing::{Log, Reply, error, service};

/// Writes down each attempt.
#[derive(Default)]
struct Attempts(Mutex<Vec<ApiCall>>);

impl ApiObserver for Attempts {
    fn request(&self, call: &ApiCall) {
        self.0.lock().unwrap().push(call.clone());
    }
}

impl Attempts {
    fn codes(&self) -> Vec<Option<u16>> {
        self.0.lock().unwrap().iter().map(|call| call.code).collect()
    }
}

fn client(limits: Limits, handler: impl FnMut(&str, &Uri) -> Reply + Send + 'static) -> (Client, Arc<Attempts>, Log) {
    let (service, log) = service(handler);
    let attempts = Arc::new(Attempts::default());
    let layer = ApiLayer::new(&limits, Arc::clone(&attempts) as Arc<dyn ApiObserver>);
    (Client::new(layer.layer(service), "default"), attempts, log)
}

fn get() -> http::Request<Vec<u8>> {
    Path::new("/api/v1/namespaces/n/secrets")
        .get("s", &kube::api::GetParams::default())
        .unwrap()
}

fn create() -> http::Request<Vec<u8>> {
    Path::new("/apis/apps/v1/namespaces/n/statefulsets")
        .create(&kube::api::PostParams::default(), b"{}".to_vec())
        .unwrap()
}

#[test]
fn a_path_gives_verb_resource_and_subresource_and_never_a_name() {
    let of = |method: &Method, uri: &str| {
        let asked = classify(method, &uri.parse().unwrap());
        (asked.verb, asked.resource, asked.subresource)
    };
    for (method, uri, expected) in [
        (Method::GET, "/api/v1/namespaces/n/pods/p", ("get", "pods", None)),
        (Method::GET, "/api/v1/pods?limit=5", ("list", "pods", None)),
        (
            Method::GET,
            "/api/v1/namespaces/n/pods?watch=true&resourceVersion=1",
            ("watch", "pods", None),
        ),
        (
            Method::PATCH,
            "/apis/neo4j.neo4j.com/v1beta1/namespaces/n/neo4jdatabases/d/status?force=true",
            ("patch", "neo4jdatabases", Some("status")),
        ),
        (
            Method::POST,
            "/apis/batch/v1/namespaces/n/jobs",
            ("create", "jobs", None),
        ),
        (
            Method::DELETE,
            "/apis/batch/v1/namespaces/n/jobs/j",
            ("delete", "jobs", None),
        ),
        (Method::GET, "/api/v1/namespaces/n", ("get", "namespaces", None)),
        (
            Method::GET,
            "/apis/example.com/v1/namespaces/n/widgets/w",
            ("get", "other", None),
        ),
        (Method::GET, "/version", ("list", "other", None)),
    ] {
        assert_eq!(of(&method, uri), expected, "{method} {uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_is_tried_again_and_each_attempt_is_counted() {
    let mut replies = vec![error(503), error(429), Reply::Json(200, json!({"ok": true}))].into_iter();
    let (client, attempts, _) = client(Limits::default(), move |_, _| replies.next().unwrap());
    let answer: Value = client.request(get()).await.unwrap();
    assert_eq!(answer, json!({"ok": true}));
    assert_eq!(attempts.codes(), [Some(503), Some(429), Some(200)]);
}

#[tokio::test(start_paused = true)]
async fn a_write_is_never_tried_again() {
    let (client, attempts, _) = client(Limits::default(), |_, _| error(503));
    let error = client.request::<Value>(create()).await.unwrap_err();
    assert!(
        matches!(&error, kube::Error::Api(status) if status.code == 503),
        "{error}"
    );
    assert_eq!(attempts.codes(), [Some(503)]);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_stays_refused_ends_with_the_last_answer_after_three_attempts() {
    let (client, attempts, _) = client(Limits::default(), |_, _| error(503));
    let error = client.request::<Value>(get()).await.unwrap_err();
    assert!(
        matches!(&error, kube::Error::Api(status) if status.code == 503),
        "{error}"
    );
    assert_eq!(attempts.codes().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_left_at_the_deadline() {
    let (client, _, _) = client(Limits::default(), |_, _| Reply::Silence);
    let began = Instant::now();
    let error = client.request::<Value>(create()).await.unwrap_err();
    assert_eq!(began.elapsed(), Limits::default().write);
    assert!(
        error
            .to_string()
            .contains("no answer to create statefulsets within 15 s"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_than_the_limit_are_in_flight() {
    let limits = Limits {
        in_flight: 2,
        ..Limits::default()
    };
    let (client, _, log) = client(limits, |_, _| Reply::Silence);
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.request::<Value>(create()).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(log.lock().unwrap().len(), 2);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_every_watch_at_once_is_not_hammered() {
    let (client, attempts, _) = client(Limits::default(), |_, _| Reply::Events(Vec::new()));
    let watching = tokio::spawn(async move {
        loop {
            let request = Path::new("/api/v1/pods")
                .watch(&kube::api::WatchParams::default(), "1")
                .unwrap();
            let events = client.request_events::<Value>(request).await.unwrap();
            futures::pin_mut!(events);
            while futures::TryStreamExt::try_next(&mut events).await.unwrap().is_some() {}
        }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    watching.abort();
    let starts = attempts.codes().len();
    assert!((50..=70).contains(&starts), "{starts} starts in a minute");
}
