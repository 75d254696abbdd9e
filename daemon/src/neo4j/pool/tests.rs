//! The bounds of the pool under load, failure and cancellation, with a driver that does as it is told.

use std::sync::atomic::AtomicBool;

use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::*;
use crate::neo4j::{
    driver::Password,
    statements::{Command, Operation},
};

/// What the scripted server does, and what it saw.
#[derive(Default)]
struct World {
    open: AtomicUsize,
    most_open: AtomicUsize,
    connects: AtomicUsize,
    running: AtomicUsize,
    /// Statements wait for this.
    hold: AtomicBool,
    release: Notify,
    /// What the next statements and connects answer.
    statement_error: Mutex<Option<BoltError>>,
    connect_error: Mutex<Option<BoltError>>,
    connect_hangs: AtomicBool,
}

struct ScriptedDriver(Arc<World>);

struct ScriptedSession(Arc<World>);

impl Drop for ScriptedSession {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Driver for ScriptedDriver {
    fn connect<'a>(
        &'a self,
        _: &'a Endpoint,
        _: &'a Credentials,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, BoltError>> {
        Box::pin(async {
            self.0.connects.fetch_add(1, Ordering::SeqCst);
            if self.0.connect_hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            if let Some(error) = lock(&self.0.connect_error).clone() {
                return Err(error);
            }
            let open = self.0.open.fetch_add(1, Ordering::SeqCst) + 1;
            self.0.most_open.fetch_max(open, Ordering::SeqCst);
            Ok(Box::new(ScriptedSession(self.0.clone())) as Box<dyn Session>)
        })
    }
}

impl Session for ScriptedSession {
    fn execute<'a>(&'a mut self, _: &'a str, _: &'a Statement) -> BoxFuture<'a, Result<Rows, BoltError>> {
        Box::pin(async {
            self.0.running.fetch_add(1, Ordering::SeqCst);
            while self.0.hold.load(Ordering::SeqCst) {
                self.0.release.notified().await;
            }
            match lock(&self.0.statement_error).clone() {
                Some(error) => Err(error),
                None => Ok(Rows::default()),
            }
        })
    }
}

fn pool(world: &Arc<World>, limits: Limits) -> Arc<Pool> {
    Arc::new(Pool::new(Arc::new(ScriptedDriver(world.clone())), limits))
}

fn key(host: &str, version: &str) -> EndpointKey {
    EndpointKey {
        cluster_uid: "uid".into(),
        pod_uid: host.into(),
        endpoint: Endpoint {
            host: host.into(),
            port: 7687,
            tls: None,
        },
        user: "neo4j".into(),
        credentials_version: version.into(),
    }
}

async fn run(pool: &Pool, host: &str) -> Result<Rows, BoltError> {
    run_as(pool, host, "1").await
}

async fn run_as(pool: &Pool, host: &str, version: &str) -> Result<Rows, BoltError> {
    let credentials = Credentials {
        user: "neo4j".into(),
        password: Password::new("secret-of-tests"),
        version: version.into(),
    };
    let statement = Command::ShowServers.statement(&Arc::from("r")).unwrap();
    assert_eq!(statement.op, Operation::ShowServers);
    pool.execute(&key(host, version), &credentials, "system", &statement)
        .await
}

/// Lets every other task go as far as it can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn refused(kind: ErrorKind) -> BoltError {
    BoltError::new(kind, "scripted")
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_used_again_and_closed_when_idle_or_old() {
    let world = Arc::new(World::default());
    let pool = pool(&world, Limits::default());
    for _ in 0..5 {
        run(&pool, "a").await.unwrap();
    }
    assert_eq!(
        world.connects.load(Ordering::SeqCst),
        1,
        "one connection serves them all"
    );
    tokio::time::advance(Duration::from_secs(61)).await;
    pool.sweep();
    assert_eq!(world.open.load(Ordering::SeqCst), 0, "idle for more than a minute");
    // Used all the time, yet too old after ten minutes and ten per cent.
    run(&pool, "a").await.unwrap();
    for _ in 0..15 {
        tokio::time::advance(Duration::from_secs(45)).await;
        run(&pool, "a").await.unwrap();
    }
    assert_eq!(world.connects.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_on_demand_and_those_in_use_are_not() {
    let world = Arc::new(World::default());
    let pool = pool(&world, Limits::default());
    run(&pool, "a").await.unwrap();
    tokio::time::advance(Duration::from_secs(40)).await;
    run(&pool, "b").await.unwrap();
    assert_eq!(pool.connections(), (2, 2));
    assert_eq!(pool.close_idle(Duration::from_secs(60)), 0);
    assert_eq!(pool.close_idle(Duration::from_secs(30)), 1, "a");
    world.hold.store(true, Ordering::SeqCst);
    let busy = tokio::spawn({
        let pool = pool.clone();
        async move { run(&pool, "b").await }
    });
    settle().await;
    assert_eq!(pool.connections(), (1, 0));
    assert_eq!(pool.close_idle(Duration::ZERO), 0);
    world.hold.store(false, Ordering::SeqCst);
    world.release.notify_waiters();
    busy.await.unwrap().unwrap();
    assert_eq!(pool.close_idle(Duration::ZERO), 1);
    assert_eq!((pool.connections(), world.open.load(Ordering::SeqCst)), ((0, 0), 0));
    assert_eq!(pool.snapshot().closed, 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_never_has_more_than_its_slots_and_waiters_get_an_error_of_their_own() {
    let world = Arc::new(World::default());
    let pool = pool(&world, Limits::default());
    run(&pool, "a").await.unwrap();
    world.hold.store(true, Ordering::SeqCst);
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { run(&pool, "a").await })
        })
        .collect();
    settle().await;
    let began = Instant::now();
    let error = run(&pool, "a").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PoolExhausted);
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    assert_eq!(pool.snapshot().endpoints[0].in_use, 2);
    world.hold.store(false, Ordering::SeqCst);
    world.release.notify_waiters();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(world.most_open.load(Ordering::SeqCst), 2);
    assert_eq!(pool.snapshot().endpoints[0].in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn cancelled_calls_close_their_slots_and_give_every_permit_back() {
    let world = Arc::new(World::default());
    let pool = pool(&world, Limits::default());
    run(&pool, "a").await.unwrap();
    for round in 0..20 {
        world.hold.store(true, Ordering::SeqCst);
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { run(&pool, "a").await })
            })
            .collect();
        settle().await;
        assert!(world.open.load(Ordering::SeqCst) <= 2, "round {round}");
        for call in calls {
            call.abort();
            let _ = call.await;
        }
        world.hold.store(false, Ordering::SeqCst);
        let snapshot = pool.snapshot();
        assert_eq!(snapshot.endpoints[0].in_use, 0, "round {round}");
        assert_eq!(snapshot.endpoints[0].waiting, 0, "round {round}");
        assert_eq!(snapshot.sockets, world.open.load(Ordering::SeqCst), "round {round}");
        assert_eq!(
            world.open.load(Ordering::SeqCst),
            0,
            "a cancelled call leaves no slot behind"
        );
        run(&pool, "a").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_sockets_holds_over_all_servers_and_idle_slots_make_room() {
    let world = Arc::new(World::default());
    let limits = Limits {
        sockets: 4,
        ..Limits::default()
    };
    let pool = pool(&world, limits);
    for host in ["a", "b", "c", "d", "e", "f"] {
        run(&pool, host).await.unwrap();
    }
    assert_eq!(world.most_open.load(Ordering::SeqCst), 4);
    world.hold.store(true, Ordering::SeqCst);
    let calls: Vec<_> = ["c", "d", "e", "f"]
        .map(|host| {
            let pool = pool.clone();
            tokio::spawn(async move { run(&pool, host).await })
        })
        .into();
    settle().await;
    let error = run(&pool, "g").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PoolExhausted);
    assert_eq!(world.most_open.load(Ordering::SeqCst), 4);
    for call in calls {
        call.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_comes_back_after_a_refusal_but_not_after_doubt() {
    let world = Arc::new(World::default());
    let pool = pool(&world, Limits::default());
    run(&pool, "a").await.unwrap();
    *lock(&world.statement_error) = Some(BoltError::from_code("Neo.ClientError.Statement.SyntaxError", "no"));
    run(&pool, "a").await.unwrap_err();
    assert_eq!(
        world.open.load(Ordering::SeqCst),
        1,
        "the server answered in good order"
    );
    *lock(&world.statement_error) = Some(refused(ErrorKind::Connect));
    let error = run(&pool, "a").await.unwrap_err();
    assert!(error.outcome_unknown);
    assert_eq!(world.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_hangs_ends_with_its_budget_and_the_server_is_left_alone() {
    let world = Arc::new(World::default());
    let pool = pool(&world, Limits::default());
    world.connect_hangs.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let error = run(&pool, "a").await.unwrap_err();
    assert_eq!((error.kind, error.outcome_unknown), (ErrorKind::Connect, false));
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    for _ in 0..100 {
        assert_eq!(run(&pool, "a").await.unwrap_err().kind, ErrorKind::CircuitOpen);
    }
    assert_eq!(world.connects.load(Ordering::SeqCst), 1, "no hammering");
    world.connect_hangs.store(false, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(2)).await;
    run(&pool, "a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_password_is_tried_once_for_the_whole_cluster_until_it_changes() {
    let world = Arc::new(World::default());
    let pool = pool(&world, Limits::default());
    *lock(&world.statement_error) = Some(refused(ErrorKind::Auth));
    let calls: Vec<_> = ["a", "b", "c", "a", "b", "c"]
        .map(|host| {
            let pool = pool.clone();
            tokio::spawn(async move { run(&pool, host).await })
        })
        .into();
    let mut kinds = Vec::new();
    for call in calls {
        kinds.push(call.await.unwrap().unwrap_err().kind);
    }
    assert_eq!(
        kinds.iter().filter(|kind| **kind == ErrorKind::Auth).count(),
        1,
        "{kinds:?}"
    );
    assert_eq!(
        world.running.load(Ordering::SeqCst),
        1,
        "the user must not be locked out"
    );
    *lock(&world.statement_error) = None;
    assert_eq!(run(&pool, "a").await.unwrap_err().kind, ErrorKind::CredentialsHeld);
    run_as(&pool, "a", "2").await.unwrap();
    tokio::time::advance(Duration::from_secs(61)).await;
    run(&pool, "b").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_none_of_the_cluster_any_more_is_closed_even_while_in_use() {
    let world = Arc::new(World::default());
    let pool = pool(&world, Limits::default());
    run(&pool, "a").await.unwrap();
    run(&pool, "b").await.unwrap();
    world.hold.store(true, Ordering::SeqCst);
    let call = {
        let pool = pool.clone();
        tokio::spawn(async move { run(&pool, "b").await })
    };
    settle().await;
    pool.retain("uid", &HashSet::from([key("a", "1")]));
    assert_eq!(pool.snapshot().endpoints.len(), 1);
    world.hold.store(false, Ordering::SeqCst);
    world.release.notify_waiters();
    call.await.unwrap().unwrap();
    assert_eq!(world.open.load(Ordering::SeqCst), 1, "b's slot is not kept");
    pool.retain("another cluster", &HashSet::new());
    assert_eq!(world.open.load(Ordering::SeqCst), 1);
    pool.forget_cluster("uid");
    assert_eq!(world.open.load(Ordering::SeqCst), 0);
}
