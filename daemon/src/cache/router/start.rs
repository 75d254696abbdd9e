//! The first stores of all kinds, and the order in which they fill.

use std::{sync::Arc, time::Duration};

use neo4j_operator_crds::{Neo4jBackup, Neo4jDatabase, Neo4jEnterpriseCluster};
use neo4j_operator_shared::Kind;
use tokio::sync::{Semaphore, mpsc};

use super::Settings;
use crate::cache::{
    ConfigMapView, CronJobView, JobView, PdbView, PodView, PvcView, SecretMeta, ServiceAccountView, ServiceView,
    StatefulSetView,
    backing::{Ground, settled},
    custom::Custom,
    lazy::{Asks, Warmer},
    policy::Policy,
    source::{AnySource, Source},
    switch::Limits,
    views::View,
};

/// How long one kind may hold up the next at the start.
const WARM_UP: Duration = Duration::from_secs(20);

/// How the first stores of the kinds are made.
pub(super) struct First<'a> {
    pub(super) settings: &'a Settings,
    pub(super) policy: Policy,
    pub(super) ground: Ground,
    pub(super) asks: Arc<Asks>,
}

impl First<'_> {
    fn source<V: View>(&self) -> (Kind, Arc<dyn AnySource>) {
        let kind = V::KIND;
        let asked = self.settings.selectors.get(&kind);
        let source = Source::<V>::new(
            self.policy.keep(kind, None),
            self.policy.lazy(kind),
            asked,
            &self.ground,
            &self.asks,
        );
        (kind, Arc::new(source))
    }

    /// Every kind, in the order in which they warm up: what more of a reconcile waits for comes first.
    pub(super) fn sources(&self) -> Vec<(Kind, Arc<dyn AnySource>)> {
        vec![
            self.source::<Custom<Neo4jEnterpriseCluster>>(),
            self.source::<Custom<Neo4jDatabase>>(),
            self.source::<Custom<Neo4jBackup>>(),
            self.source::<SecretMeta>(),
            self.source::<ServiceView>(),
            self.source::<StatefulSetView>(),
            self.source::<PodView>(),
            self.source::<ConfigMapView>(),
            self.source::<ServiceAccountView>(),
            self.source::<PdbView>(),
            self.source::<PvcView>(),
            self.source::<JobView>(),
            self.source::<CronJobView>(),
        ]
    }
}

/// Starts the watches of all kinds; a kind that does not get ready holds up the next one for a while only.
pub(super) async fn warm_up(sources: Vec<(Kind, Arc<dyn AnySource>)>, workers: usize, ground: Ground) {
    let places = Arc::new(Semaphore::new(workers.max(1)));
    for (kind, source) in sources {
        if Kind::PRIMARY.contains(&kind) {
            source.start();
            continue;
        }
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = ground.cancel.cancelled() => return,
        };
        source.start();
        let cancel = ground.cancel.clone();
        ground.tasks.spawn(async move {
            let feeds = source.feeds();
            tokio::select! {
                _ = tokio::time::timeout(WARM_UP, settled(&feeds)) => {}
                () = cancel.cancelled() => {}
            }
            drop(place);
        });
    }
}

/// Starts what fills kinds when they are asked for.
pub(super) fn begin_to_warm(
    sources: &[(Kind, Arc<dyn AnySource>)],
    asks: &Arc<Asks>,
    asked: mpsc::Receiver<Kind>,
    limits: &Limits,
    ground: &Ground,
) {
    let warmer = Warmer {
        sources: sources.to_vec(),
        asks: Arc::clone(asks),
        observer: Arc::clone(&ground.observer),
        workers: limits.workers.max(1),
        deadline: limits.deadline,
        cancel: ground.cancel.clone(),
    };
    ground.tasks.spawn(warmer.run(asked, ground.tasks.clone()));
}
