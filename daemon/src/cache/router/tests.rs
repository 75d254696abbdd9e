//! Promises of the router, against a server of a few lines whose watches the test holds in its hand.

use std::{sync::Mutex, time::Duration};

use futures::FutureExt as _;
use http::Uri;
use neo4j_operator_shared::cache::MissReason as Miss;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};

use super::*;
use crate::{
    cache::ConfigMapView,
    kube::testing::{Log, Reply, client, error, event, is_watch, list, object},
    queue::Verdict,
};

type Feeds = Arc<Mutex<BTreeMap<String, mpsc::UnboundedSender<Value>>>>;

/// A server with ConfigMaps: lists are empty but for those, gets answer from `objects`.
struct World {
    router: Router,
    queue: Queue,
    log: Log,
    /// What gets and lists answer.
    objects: Arc<Mutex<BTreeMap<String, Value>>>,
    feeds: Feeds,
}

fn plural(uri: &Uri) -> (String, Option<String>) {
    let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let place = parts.iter().position(|part| *part == "namespaces").map(|at| at + 2);
    let place = place.unwrap_or(parts.len() - 1);
    (
        parts[place].to_owned(),
        parts.get(place + 1).map(|name| (*name).to_owned()),
    )
}

impl World {
    fn wrote(&self, name: &str, version: u64) {
        self.router.wrote(Kind::ConfigMap, &object(name, version)["metadata"]);
    }

    async fn new(strategy: Strategy, objects: &[Value]) -> Self {
        let objects: BTreeMap<String, Value> = objects
            .iter()
            .map(|object| (object["metadata"]["name"].as_str().unwrap().to_owned(), object.clone()))
            .collect();
        let objects = Arc::new(Mutex::new(objects));
        let feeds = Feeds::default();
        let (client, log) = {
            let (objects, feeds) = (Arc::clone(&objects), Arc::clone(&feeds));
            client(move |_, uri| {
                let (plural, name) = plural(uri);
                if is_watch(uri) {
                    let (feed, events) = mpsc::unbounded_channel();
                    // Each watch has a feed of its own: one that is taken away would end, and begin anew.
                    let by_name = uri.query().unwrap_or_default().contains("fieldSelector");
                    let place = if by_name { format!("one of {plural}") } else { plural };
                    feeds.lock().unwrap().insert(place, feed);
                    return Reply::Feed(events);
                }
                let objects = objects.lock().unwrap();
                match name {
                    Some(name) => objects
                        .get(&name)
                        .map_or_else(|| error(404), |object| Reply::Json(200, object.clone())),
                    None if plural == "configmaps" => list(10, &objects.values().cloned().collect::<Vec<_>>()),
                    None => list(10, &[]),
                }
            })
        };
        let queue = Queue::hasty();
        let settings = Settings {
            strategy,
            ..Settings::default()
        };
        let router = Router::start(client, &settings, queue.clone(), Arc::new(()));
        router.synced().await;
        let world = Self {
            router,
            queue,
            log,
            objects,
            feeds,
        };
        world.requests();
        world
    }

    /// GETs and LISTs since the last call, but those that open a watch.
    fn requests(&self) -> Vec<String> {
        let log: Vec<String> = std::mem::take(&mut *self.log.lock().unwrap());
        log.into_iter().filter(|line| !line.contains("watch=true")).collect()
    }

    /// The watch of the ConfigMaps delivers an event.
    fn deliver(&self, kind: &str, object: Value) {
        let feeds = self.feeds.lock().unwrap();
        feeds["configmaps"].send(event(kind, object)).unwrap();
    }

    async fn get(&self, name: &str) -> Option<u128> {
        let found = self
            .router
            .get::<ConfigMapView>("n", name, &Requests::default())
            .await
            .unwrap();
        found.and_then(|object| object.metadata.version())
    }

    async fn names(&self) -> Vec<(String, String)> {
        let select = Select::Labels(vec![("app.kubernetes.io/managed-by".into(), "neo4j-operator".into())]);
        let found = self
            .router
            .list::<ConfigMapView>("n", &select, &Requests::default())
            .await
            .unwrap();
        let pair = |object: Arc<ConfigMapView>| {
            let meta = &object.metadata;
            (meta.name().to_string(), meta.resource_version().to_string())
        };
        found.into_iter().map(pair).collect()
    }

    fn row(&self) -> KindCache {
        let rows = self.router.snapshot().kinds;
        rows.into_iter().find(|row| row.kind == Kind::ConfigMap).unwrap()
    }

    fn misses(&self, reason: Miss) -> u64 {
        self.row().misses.get(&reason).copied().unwrap_or(0)
    }

    fn woken(&self) -> Vec<String> {
        let mut keys = Vec::new();
        while let Some(Some(job)) = self.queue.next().now_or_never() {
            self.queue.finish(&job.key, Verdict::Done(None));
            keys.push(format!("{}/{}", job.key.kind, job.key.name));
        }
        keys
    }
}

/// Lets tasks run until nothing is left to do at this instant.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_store_holds_is_read_without_a_request() {
    let world = World::new(Strategy::Selective, &[object("a", 3)]).await;
    assert_eq!(world.get("a").await, Some(3));
    assert_eq!(world.names().await, [("a".into(), "3".into())]);
    assert_eq!(world.requests(), Vec::<String>::new());
    let row = world.row();
    assert_eq!((row.reads.hit, row.objects, row.synced), (2, 1, true));
    assert_eq!(row.hit_rate, Some(1.0));
    assert!(row.bytes > 0);
}

#[tokio::test(start_paused = true)]
async fn a_miss_in_a_filtered_store_asks_the_server() {
    let world = World::new(Strategy::Selective, &[]).await;
    let foreign = json!({"metadata": {"namespace": "n", "name": "foreign", "resourceVersion": "7", "uid": "f"}});
    world.objects.lock().unwrap().insert("foreign".into(), foreign);
    assert_eq!(world.get("foreign").await, Some(7));
    assert_eq!(world.get("nowhere").await, None);
    assert_eq!(world.requests().len(), 2);
    assert_eq!((world.row().reads.fallback, world.misses(Miss::Filtered)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_the_filter_does_not_cover_asks_the_server() {
    let world = World::new(Strategy::Selective, &[object("a", 3)]).await;
    let all = world
        .router
        .list::<ConfigMapView>("n", &Select::All, &Requests::default())
        .await
        .unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(world.requests().len(), 1);
    assert_eq!(world.row().reads.fallback, 1);
}

#[tokio::test(start_paused = true)]
async fn the_strategy_none_reads_from_the_server_and_still_wakes_owners() {
    let world = World::new(Strategy::None, &[object("a", 3)]).await;
    world.woken();
    let requests = Requests::default();
    world.router.get::<ConfigMapView>("n", "a", &requests).await.unwrap();
    assert_eq!(requests.total(), 1);
    let row = world.row();
    assert_eq!((row.reads.miss, world.misses(Miss::Cold)), (1, 1));
    assert_eq!(row.form, neo4j_operator_shared::cache::Form::Metadata);
    world.deliver("MODIFIED", object("a", 11));
    settle().await;
    assert_eq!(world.woken(), ["neo4jenterpriseclusters/c"]);
}

#[tokio::test(start_paused = true)]
async fn a_read_is_never_older_than_our_own_write() {
    let world = World::new(Strategy::Selective, &[object("a", 3)]).await;
    world.wrote("a", 20);
    world.objects.lock().unwrap().insert("a".into(), object("a", 20));
    let began = Instant::now();
    assert_eq!(world.get("a").await, Some(20));
    assert!(
        began.elapsed() >= Duration::from_millis(100),
        "it waits for the watch first"
    );
    assert_eq!(world.misses(Miss::Stale), 1);
    world.deliver("MODIFIED", object("a", 20));
    settle().await;
    world.requests();
    assert_eq!(world.get("a").await, Some(20));
    assert_eq!(world.requests(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_read_after_a_write_waits_for_the_watch_rather_than_ask() {
    let world = World::new(Strategy::Selective, &[object("a", 3)]).await;
    world.wrote("a", 20);
    let (version, ()) = tokio::join!(world.get("a"), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.deliver("MODIFIED", object("a", 21));
    });
    assert_eq!(version, Some(21));
    assert_eq!(world.requests(), Vec::<String>::new());
    assert_eq!(world.row().reads.hit, 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_reads_only_those_that_the_store_is_too_old_for() {
    let world = World::new(Strategy::Selective, &[object("a", 3), object("b", 4), object("c", 5)]).await;
    world.wrote("b", 20);
    world.wrote("d", 21);
    {
        let mut objects = world.objects.lock().unwrap();
        objects.insert("b".into(), object("b", 20));
        objects.insert("d".into(), object("d", 21));
    }
    let pair = |name: &str, version: &str| (name.to_owned(), version.to_owned());
    assert_eq!(
        world.names().await,
        [pair("a", "3"), pair("b", "20"), pair("c", "5"), pair("d", "21")]
    );
    assert_eq!(world.requests().len(), 2, "one GET for each of the two");
}

#[tokio::test(start_paused = true)]
async fn once_the_server_said_gone_the_store_does_not_bring_it_back() {
    let world = World::new(Strategy::Selective, &[object("a", 3)]).await;
    world.objects.lock().unwrap().clear();
    let live = world
        .router
        .live::<ConfigMapView>("n", "a", &Requests::default())
        .await
        .unwrap();
    assert!(live.is_none());
    assert_eq!(world.row().reads.bypass, 1);
    assert_eq!(world.get("a").await, None);
    assert_eq!(world.names().await, [], "nor in lists, before the watch has said so");
    world.deliver("DELETED", object("a", 30));
    world.deliver("ADDED", object("a", 31));
    settle().await;
    assert_eq!(
        world.get("a").await,
        None,
        "that one may be from before, too: the server is asked"
    );
    world.objects.lock().unwrap().insert("a".into(), object("a", 33));
    assert_eq!(world.get("a").await, Some(33), "one that came later is another");
    world.deliver("MODIFIED", object("a", 33));
    settle().await;
    world.requests();
    assert_eq!(world.get("a").await, Some(33));
    assert_eq!(
        world.requests(),
        Vec::<String>::new(),
        "and is read from the store again"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_bypass_has_seen_no_later_read_goes_behind() {
    let world = World::new(Strategy::Selective, &[object("a", 3)]).await;
    world.objects.lock().unwrap().insert("a".into(), object("a", 9));
    world
        .router
        .live::<ConfigMapView>("n", "a", &Requests::default())
        .await
        .unwrap();
    assert_eq!(world.get("a").await, Some(9));
}

#[tokio::test(start_paused = true)]
async fn what_we_made_and_others_deleted_before_any_watch_saw_it_wakes_its_owner() {
    let gone = json!({"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410});
    let world = World::new(Strategy::Selective, &[]).await;
    world.woken();
    world.router.wrote(Kind::ConfigMap, &object("a", 20)["metadata"]);
    world.deliver("ERROR", gone.clone());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        world.woken(),
        ["neo4jenterpriseclusters/c"],
        "the new list does not have it"
    );
    world.deliver("ERROR", gone);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.woken(), Vec::<String>::new(), "that was told");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_strategy_tells_of_it_too_unless_its_event_is_on_the_way() {
    for before in [true, false] {
        let world = World::new(Strategy::Selective, &[]).await;
        world.woken();
        let made = object("a", 20);
        if before {
            world.router.wrote(Kind::ConfigMap, &made["metadata"]);
        }
        let source = world.router.any(Kind::ConfigMap).unwrap();
        source.prepare(Keep::All);
        synced(&source.prepared().unwrap().0).await;
        if !before {
            world.router.wrote(Kind::ConfigMap, &made["metadata"]);
        }
        drop(source.swap());
        let expected: &[&str] = if before { &["neo4jenterpriseclusters/c"] } else { &[] };
        assert_eq!(world.woken(), expected, "written before the list began: {before}");
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_write_wakes_nobody_when_the_watch_repeats_it() {
    let world = World::new(Strategy::Selective, &[object("a", 3)]).await;
    world.woken();
    world.wrote("a", 20);
    world.deliver("MODIFIED", object("a", 20));
    settle().await;
    assert_eq!(world.woken(), Vec::<String>::new());
    world.deliver("MODIFIED", object("a", 21));
    settle().await;
    assert_eq!(world.woken(), ["neo4jenterpriseclusters/c"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_while_the_watch_was_down_wakes_its_owner() {
    let world = World::new(Strategy::Selective, &[object("a", 3)]).await;
    world.woken();
    world.objects.lock().unwrap().clear();
    world.deliver("ERROR", crate::kube::testing::status(410));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.woken(), ["neo4jenterpriseclusters/c"]);
    assert_eq!(world.row().objects, 0);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_synced_is_read_from_the_server() {
    let (client, _) = client(|_, uri| match plural(uri) {
        (plural, None) if plural == "configmaps" => error(500),
        (_, None) if is_watch(uri) => Reply::Silence,
        (_, None) => list(1, &[]),
        (_, Some(name)) => Reply::Json(200, object(&name, 4)),
    });
    let router = Router::start(client, &Settings::default(), Queue::default(), Arc::new(()));
    router.primary_synced().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let found = router
        .get::<ConfigMapView>("n", "a", &Requests::default())
        .await
        .unwrap();
    assert_eq!(found.unwrap().metadata.version(), Some(4));
    let rows = router.snapshot().kinds;
    let row = rows.iter().find(|row| row.kind == Kind::ConfigMap).unwrap();
    assert_eq!(row.misses.get(&Miss::Unsynced), Some(&1));
    let watches = router.watches();
    let watch = watches
        .items
        .iter()
        .find(|watch| watch.kind == Kind::ConfigMap)
        .unwrap();
    assert_eq!(watch.state, neo4j_operator_shared::watches::WatchState::Degraded);
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_is_an_error_and_not_an_absence() {
    let (client, _) = client(|_, _| error(500));
    let router = Router::direct(client);
    let error = router
        .get::<ConfigMapView>("n", "a", &Requests::default())
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("get ConfigMap n/a"), "{error}");
    let error = router
        .list::<ConfigMapView>("n", &Select::All, &Requests::default())
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("list configmaps in n"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_referred_secret_wakes_who_refers_to_it_until_forgotten() {
    let world = World::new(Strategy::Selective, &[]).await;
    let key = Key {
        kind: Kind::Neo4jEnterpriseCluster,
        namespace: "n".into(),
        name: "c".into(),
    };
    world.router.refers(&key, Kind::Secret, "n", "admin");
    world.router.refers(&key, Kind::Secret, "n", "admin");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let followed = world.log.lock().unwrap().join("\n");
    assert!(followed.contains("fieldSelector=metadata.name%3Dadmin"), "{followed}");
    let feed = world.feeds.lock().unwrap().remove("one of secrets").unwrap();
    let secret = |version: u64| json!({"metadata": {"namespace": "n", "name": "admin", "uid": "s", "resourceVersion": version.to_string()}});
    feed.send(event("ADDED", secret(11))).unwrap();
    settle().await;
    assert_eq!(world.woken(), ["neo4jenterpriseclusters/c"]);
    feed.send(event("MODIFIED", secret(11))).unwrap();
    settle().await;
    assert_eq!(world.woken(), Vec::<String>::new(), "the same version is no change");
    world.router.forget(&key);
    settle().await;
    let rows = world.router.watches().items;
    assert!(
        rows.iter()
            .all(|row| row.selector.as_deref() != Some("metadata.name=admin"))
    );
}

#[tokio::test(start_paused = true)]
async fn the_data_of_a_secret_is_read_each_time_and_kept_nowhere() {
    let world = World::new(Strategy::Selective, &[]).await;
    let secret = json!({"metadata": {"namespace": "n", "name": "admin"}, "data": {"password": "aHVudGVyMg=="}});
    world.objects.lock().unwrap().insert("admin".into(), secret);
    let requests = Requests::default();
    for _ in 0..2 {
        let data = world.router.secret("n", "admin", &requests).await.unwrap().unwrap();
        assert_eq!(data["password"], b"hunter2");
    }
    assert_eq!(requests.total(), 2);
    assert!(world.router.secret("n", "none", &requests).await.unwrap().is_none());
    let rows = world.router.snapshot().kinds;
    assert_eq!(
        rows.iter().find(|row| row.kind == Kind::Secret).unwrap().reads.bypass,
        3
    );
}
