//! Forecasts, their outcomes, and `adaptive`, against the embedded API server.

use std::{sync::atomic::Ordering, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::api::core::v1::Service;
use kube::{Api, api::PostParams};
use neo4j_devcluster::apiserver::{Hooks, Options, Point, Server, Verdict};
use neo4j_operator_shared::{
    cache::Form,
    goals::GoalId,
    switch::{OperationState, Quantity, Wanted},
};
use serde_json::json;

use super::{switching::World, *};
use crate::cache::ServiceView;

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_what_is_not_kept_and_changes_nothing() {
    let world = World::new(Strategy::Selective).await;
    for number in 0..60 {
        world.create(&format!("foreign-{number}"), false).await;
    }
    let request = SwitchRequest {
        dry_run: true,
        ..World::request(Strategy::Full, Some(&[Kind::ConfigMap]))
    };
    let dry = world.router.dry_run(&request).await.unwrap();
    assert_eq!(dry.kinds, [Kind::ConfigMap]);
    let maps = dry
        .forecast
        .kinds
        .iter()
        .find(|row| row.kind == Kind::ConfigMap)
        .unwrap();
    assert_eq!((maps.form, maps.objects), (Form::Full, 62));
    assert!(maps.bytes > 0.0 && dry.forecast.warmup_requests >= 1, "{dry:?}");
    assert_eq!(world.row().strategy, Strategy::Selective);
    assert_eq!(world.router.history(), []);
    let strategies = world.router.strategies(None).await.unwrap();
    let stays = &strategies.forecasts[Strategy::Selective as usize].kinds;
    let maps = stays.iter().find(|row| row.kind == Kind::ConfigMap).unwrap();
    assert_eq!(maps.form, world.row().form, "a forecast names the form that is kept");
}

/// A server that takes its time for lists of ConfigMaps.
struct SlowLists;

const SLOW: Duration = Duration::from_millis(400);

impl Hooks for SlowLists {
    fn serve_read<'a>(&'a self, point: Point<'a>) -> BoxFuture<'a, Verdict> {
        let slow = point.verb == "list" && point.resource == "configmaps";
        async move {
            if slow {
                tokio::time::sleep(SLOW).await;
            }
            Verdict::Proceed
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_list_that_was_seen_is_forecast_for_the_next_one() {
    let server = Server::new(Options {
        hooks: Arc::new(SlowLists),
        ..Options::default()
    });
    let world = World::on(server, Settings::default()).await;
    for number in 0..600 {
        world.create(&format!("foreign-{number}"), false).await;
    }
    let request = World::request(Strategy::Full, Some(&[Kind::ConfigMap]));
    let blind = world.router.dry_run(&request).await.unwrap().forecast.warmup;
    assert!(blind.value < 0.5, "{blind:?}");
    let filled = world.switch(Strategy::Full, Some(&[Kind::ConfigMap])).await;
    assert!(filled.seconds > 2.9 * SLOW.as_secs_f64(), "three pages: {filled:?}");
    world.switch(Strategy::Selective, Some(&[Kind::ConfigMap])).await;
    let seen = world.router.dry_run(&request).await.unwrap().forecast.warmup;
    assert!((seen.value / filled.seconds - 1.0).abs() < 0.1, "{seen:?}: {filled:?}");
    assert!(seen.margin / seen.value < blind.margin / blind.value);
}

#[tokio::test(start_paused = true)]
async fn the_flood_of_the_start_is_no_sample_of_what_comes() {
    let world = World::new(Strategy::Selective).await;
    let request = |count| world.notes.requests.fetch_add(count, Ordering::Relaxed);
    for _ in 0..5_000 {
        world.get("own").await;
    }
    request(5_000);
    let early = world.router.strategies(None).await.unwrap();
    assert_eq!(early.reads, 5_000, "nothing else is known yet");
    tokio::time::sleep(Duration::from_secs(30)).await;
    for _ in 0..70 {
        for _ in 0..10 {
            world.get("own").await;
        }
        request(2);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let later = world.router.strategies(None).await.unwrap();
    let seconds = later.observed.0.as_secs_f64();
    assert!((500..=700).contains(&later.reads), "{} reads", later.reads);
    assert!((50.0..=80.0).contains(&seconds), "{seconds} s");
    assert!((later.reads as f64 / seconds - 10.0).abs() < 1.0);
    let selective = &later.forecasts[Strategy::Selective as usize];
    assert!((selective.api_rate.value - 2.0).abs() < 0.2, "{:?}", selective.api_rate);
}

#[tokio::test(start_paused = true)]
async fn what_a_change_brought_is_compared_with_its_forecast() {
    let world = World::new(Strategy::None).await;
    for _ in 0..20 {
        world.get("own").await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let done = world.switch(Strategy::Selective, None).await;
    assert!(done.forecast.unwrap().hit_rate.unwrap().value > 0.9);
    for _ in 0..32 {
        for _ in 0..10 {
            world.get("own").await;
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let strategies = world.router.strategies(None).await.unwrap();
    let record = &strategies.record[0];
    assert_eq!(record.operation.state, OperationState::Done);
    assert_eq!(record.before.hit_rate, Some(0.0));
    let outcome = &record.outcomes[0];
    assert!(outcome.reads > 100, "{outcome:?}");
    let error = |quantity| {
        outcome
            .errors
            .iter()
            .find(|error| error.quantity == quantity)
            .unwrap()
            .error
    };
    assert!(error(Quantity::HitRate) < 0.05, "{outcome:?}");
    assert_eq!(world.router.errors(), strategies.errors);
}

#[tokio::test(start_paused = true)]
async fn adaptive_keeps_all_of_a_kind_whose_foreign_objects_are_read_much() {
    let world = World::new(Strategy::Adaptive).await;
    let ours = Select::Labels(vec![("app.kubernetes.io/managed-by".into(), "neo4j-operator".into())]);
    for minute in 0..40 {
        // Together enough for a forecast of the last minutes; each kind by itself only over half an hour.
        for _ in 0..60 {
            world.get("foreign").await;
            let requests = Requests::default();
            let services = world.router.list::<ServiceView>("default", &ours, &requests);
            services.await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        if world.row().form == Form::Full {
            assert!(minute >= 5, "not before the start is over");
            break;
        }
    }
    assert_eq!((world.row().form, world.row().strategy), (Form::Full, Strategy::Full));
    assert_eq!(world.router.snapshot().strategy, Strategy::Adaptive);
    let strategies = world.router.strategies(None).await.unwrap();
    let acted = strategies.choices.iter().find(|choice| choice.acted).unwrap();
    assert_eq!(
        (acted.kind, acted.from, acted.to),
        (Kind::ConfigMap, Strategy::Selective, Strategy::Full)
    );
    assert_eq!(strategies.record[0].operation.by, By::Adaptive);
    let selective = &strategies.forecasts[Strategy::Selective as usize];
    assert!(selective.broken.contains(&GoalId::HitRate), "{selective:?}");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_does_not_fit_into_the_memory_is_refused_with_the_figures() {
    let world = World::new(Strategy::Selective).await;
    *world.notes.room.lock().unwrap() = Some(10);
    let refused = world
        .router
        .switch(&World::request(Strategy::Full, None), By::User)
        .await;
    assert!(refused.unwrap_err().to_string().contains("--memory-limit"));
    let default = SwitchRequest {
        strategy: Wanted::Default,
        ..World::request(Strategy::None, None)
    };
    let refused = world.router.switch(&default, By::User).await.unwrap_err();
    assert!(refused.to_string().contains("say which"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn stores_over_their_budget_drop_what_they_can_and_say_so() {
    let world = World::with(Settings {
        strategy: Strategy::Full,
        budgets: Budgets {
            total: Some(1),
            ..Budgets::default()
        },
        ..Settings::default()
    })
    .await;
    // So many that no other kind takes more.
    for number in 0..20 {
        world.create(&format!("foreign-{number}"), false).await;
    }
    world.get("foreign").await;
    assert!(world.row().decoded_bytes > 0);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(world.row().decoded_bytes, 0);
    let advice = "give configmaps a smaller strategy, or raise --cache-budget";
    assert_eq!(world.notes.times_told(advice), 1);
    let advised = world.router.strategies(None).await.unwrap().advice;
    assert!(advised.iter().any(|line| line.ends_with(advice)), "{advised:?}");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(
        world.notes.times_told(advice),
        1,
        "told again though nothing has changed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_kind_over_its_own_budget_is_told_and_no_other_drops_anything() {
    let world = World::with(Settings {
        strategy: Strategy::Full,
        budgets: Budgets {
            kinds: [(Kind::Service, 1), (Kind::ConfigMap, 1 << 20)].into(),
            ..Budgets::default()
        },
        ..Settings::default()
    })
    .await;
    world.get("foreign").await;
    let service = json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}]}});
    let service: Service = serde_json::from_value(service).unwrap();
    let services: Api<Service> = Api::namespaced(world.server.client("default"), "default");
    services.create(&PostParams::default(), &service).await.unwrap();
    let decoded = world.row().decoded_bytes;
    assert!(decoded > 0);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(world.row().decoded_bytes, decoded);
    let advice = "give services a smaller strategy, or raise --cache-budget-for";
    assert_eq!(world.notes.times_told(advice), 1);
    let rows = world.router.snapshot().kinds;
    let bounds: Vec<_> = rows.iter().filter_map(|row| Some((row.kind, row.budget?))).collect();
    assert_eq!(bounds, [(Kind::Service, 1), (Kind::ConfigMap, 1 << 20)]);
}
