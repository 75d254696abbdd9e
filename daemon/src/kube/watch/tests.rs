//! Scripts of list and watch answers for each rule of the supervisor.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::{
    cache::ConfigMapView,
    kube::testing::{Reply, client, error, event, is_watch, list, object, status},
};

/// Writes down what it is told.
struct Notes(mpsc::UnboundedSender<String>);

impl Sink<ConfigMapView> for Notes {
    fn begin(&mut self) {
        let _ = self.0.send("begin".into());
    }
    fn listed(&mut self, object: ConfigMapView) {
        let _ = self.0.send(format!("listed {}", object.metadata.name()));
    }
    fn complete(&mut self) {
        let _ = self.0.send("complete".into());
    }
    fn applied(&mut self, object: ConfigMapView) {
        let _ = self.0.send(format!("applied {}", object.metadata.name()));
    }
    fn deleted(&mut self, object: ConfigMapView) {
        let _ = self.0.send(format!("deleted {}", object.metadata.name()));
    }
}

struct Running {
    notes: mpsc::UnboundedReceiver<String>,
    status: Arc<WatchStatus>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn until(&mut self, wanted: &str) -> Vec<String> {
        let mut seen = Vec::new();
        let all = async {
            while let Some(note) = self.notes.recv().await {
                let found = note == wanted;
                seen.push(note);
                if found {
                    return;
                }
            }
        };
        // The clock is paused, so this is no waiting but a bound.
        let found = tokio::time::timeout(Duration::from_secs(3600), all).await;
        assert!(found.is_ok(), "no {wanted:?} within an hour, only {seen:?}");
        seen
    }
}

fn run(handler: impl FnMut(&str, &http::Uri) -> Reply + Send + 'static) -> Running {
    let (client, _) = client(handler);
    let subject = Subject {
        kind: Kind::ConfigMap,
        resource: ApiResource {
            group: String::new(),
            version: "v1".into(),
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            plural: "configmaps".into(),
        },
        namespace: Some("n".into()),
        labels: Some("a=b".into()),
        fields: None,
    };
    let status = Arc::new(WatchStatus::new(subject, true));
    let (sender, notes) = mpsc::unbounded_channel();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(supervise(client, Arc::clone(&status), Notes(sender), cancel.clone()));
    Running {
        notes,
        status,
        cancel,
        task,
    }
}

/// Replies in order; afterwards watches stay open and silent.
fn script(replies: Vec<Reply>) -> impl FnMut(&str, &http::Uri) -> Reply + Send {
    let mut replies = replies.into_iter();
    move |_, _| replies.next().unwrap_or(Reply::Silence)
}

#[tokio::test(start_paused = true)]
async fn a_410_that_answers_the_start_of_a_watch_leads_to_a_new_list() {
    let mut watch = run(script(vec![
        list(5, &[object("a", 1), object("b", 2)]),
        error(410),
        list(9, &[object("a", 1)]),
    ]));
    assert_eq!(
        watch.until("complete").await,
        ["begin", "listed a", "listed b", "complete"]
    );
    let asked = Instant::now();
    assert_eq!(watch.until("complete").await, ["begin", "listed a", "complete"]);
    assert_eq!(watch.status.row().restarts, 1);
    assert_eq!(asked.elapsed(), Duration::ZERO, "there is nothing to wait for");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_410_again_and_again_is_not_asked_for_lists_without_a_pause() {
    let mut replies = Vec::new();
    for round in 0..10 {
        replies.extend([list(5 + round, &[object("a", 1)]), error(410)]);
    }
    let mut watch = run(script(replies));
    let began = Instant::now();
    for _ in 0..10 {
        watch.until("complete").await;
    }
    // The pauses grow from 1.6 s to thirty, each more or less by a tenth; only the first list comes without.
    assert!(began.elapsed() > Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_refused_as_too_old_is_begun_anew_after_a_pause() {
    let mut watch = run(script(vec![error(410), error(410), list(9, &[object("a", 1)])]));
    let began = Instant::now();
    watch.until("complete").await;
    assert!(
        began.elapsed() > Duration::from_millis(700 + 1_400),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_event_that_does_not_go_away_leads_to_a_new_list() {
    let bad = || event("ERROR", status(500));
    let (feed, events) = mpsc::unbounded_channel();
    for _ in 0..5 {
        feed.send(bad()).unwrap();
    }
    let mut watch = run(script(vec![
        list(5, &[object("a", 1)]),
        Reply::Feed(events),
        list(9, &[object("c", 8)]),
    ]));
    watch.until("complete").await;
    assert_eq!(watch.until("complete").await, ["begin", "listed c", "complete"]);
    drop(feed);
}

#[tokio::test(start_paused = true)]
async fn a_few_errors_with_events_between_them_do_not() {
    let (feed, events) = mpsc::unbounded_channel();
    for round in 0..12 {
        feed.send(event("ERROR", status(500))).unwrap();
        feed.send(event("MODIFIED", object("a", 10 + round))).unwrap();
    }
    feed.send(event("DELETED", object("a", 99))).unwrap();
    let mut watch = run(script(vec![list(5, &[object("a", 1)]), Reply::Feed(events)]));
    watch.until("complete").await;
    let seen = watch.until("deleted a").await;
    assert!(!seen.contains(&"begin".to_owned()), "{seen:?}");
    assert_eq!(watch.status.row().restarts, 0);
    assert_eq!(watch.status.row().state, WatchState::Live);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_never_ends_is_given_up_and_begun_anew() {
    let began = Instant::now();
    let mut watch = run(script(vec![Reply::Silence, list(9, &[object("a", 1)])]));
    watch.until("complete").await;
    assert!(began.elapsed() >= LIST_DEADLINE.0);
    assert_eq!(watch.status.row().restarts, 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_is_made_good_by_a_new_list() {
    let unreadable = json!({"type": "MODIFIED", "object": {"metadata": {"name": 7}}});
    let mut watch = run(script(vec![
        list(5, &[object("a", 1)]),
        Reply::Events(vec![unreadable]),
        list(9, &[object("a", 8)]),
    ]));
    watch.until("complete").await;
    watch.until("complete").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_is_tried_once_a_minute_and_says_so() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let watch = run(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        error(403)
    });
    watch.status.until_settled().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let tries = tries.load(Ordering::Relaxed);
    assert!((9..=12).contains(&tries), "{tries} tries in ten minutes");
    let row = watch.status.row();
    assert_eq!(
        (row.state, row.reason.as_deref()),
        (WatchState::Degraded, Some("forbidden"))
    );
    assert_eq!(watch.status.synced(), Synced::Failing);
}

#[tokio::test(start_paused = true)]
async fn a_server_in_trouble_is_asked_less_and_less_often() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let _watch = run(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        error(500)
    });
    tokio::time::sleep(Duration::from_secs(600)).await;
    let tries = tries.load(Ordering::Relaxed);
    assert!((15..=40).contains(&tries), "{tries} tries in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_comes_back_after_trouble_is_live_without_an_event() {
    let (feed, events) = mpsc::unbounded_channel::<Value>();
    let mut replies = vec![list(5, &[]), error(500), Reply::Feed(events)].into_iter();
    let (service, _) = crate::kube::testing::service(move |_, _| replies.next().unwrap_or(Reply::Silence));
    let layer = crate::kube::layer::ApiLayer::new(
        &crate::kube::client::Limits::default(),
        Arc::new(crate::kube::client::Unobserved),
    );
    let client = Client::new(tower::Layer::layer(&layer, service), "n");
    let status = Arc::new(WatchStatus::new(
        Subject {
            kind: Kind::ConfigMap,
            resource: ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
            namespace: None,
            labels: None,
            fields: None,
        },
        true,
    ));
    let (sender, _notes) = mpsc::unbounded_channel();
    let cancel = CancellationToken::new();
    tokio::spawn(supervise(client, Arc::clone(&status), Notes(sender), cancel.clone()));
    status.until_synced().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(status.row().state, WatchState::Live);
    assert!(status.trusted(Duration::ZERO));
    cancel.cancel();
    drop(feed);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_watch_ends_and_says_so() {
    let mut watch = run(
        |_, uri: &http::Uri| {
            if is_watch(uri) { Reply::Silence } else { list(5, &[]) }
        },
    );
    watch.until("complete").await;
    watch.cancel.cancel();
    watch.task.await.unwrap();
    assert_eq!(watch.status.row().state, WatchState::Stopped);
}
