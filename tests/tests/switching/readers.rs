//! Who reads in a campaign, and what it is compared with.

use std::sync::Arc;

use neo4j_operator::{
    cache::{ConfigMapView, Custom, ReadSource, SecretMeta, Select, ServiceView, View},
    reconcile::Requests,
};
use neo4j_operator_crds::Neo4jEnterpriseCluster;
use neo4j_operator_shared::Kind;
use tokio::time::Instant;

use crate::{
    dice::Dice,
    field::{Field, KINDS, MANAGED},
    storm::Planted,
    target::NAMESPACES,
    truth::Object,
};

/// What the operator keeps of a custom resource.
pub type Cluster = Custom<Neo4jEnterpriseCluster>;

/// Runs the same for the view of whichever kind.
macro_rules! with_view {
    ($kind:expr, $view:ident => $run:expr) => {
        match $kind {
            Kind::ConfigMap => {
                type $view = ConfigMapView;
                $run
            }
            Kind::Secret => {
                type $view = SecretMeta;
                $run
            }
            Kind::Service => {
                type $view = ServiceView;
                $run
            }
            _ => {
                type $view = Cluster;
                $run
            }
        }
    };
}
pub(crate) use with_view;

/// What is ours.
pub fn ours() -> Select {
    Select::Labels(vec![(MANAGED.0.into(), MANAGED.1.into())])
}

fn version<V: View>(object: &V) -> u64 {
    object.meta().version().unwrap() as u64
}

impl Field {
    async fn version_of<V: View>(&self, object: &Object, past_caches: bool) -> Option<(ReadSource, Option<u64>)> {
        let (_, namespace, name) = object;
        let requests = Requests::default();
        let of = |found: &Option<Arc<V>>| found.as_deref().map(version);
        if past_caches {
            let router = match self.plan.planted {
                Planted::FloorsForgotten => &self.untold,
                _ => &self.router,
            };
            let found = router.live::<V>(namespace, name, &requests).await.ok()?;
            return Some((ReadSource::Bypass, of(&found)));
        }
        let answer = self.router.read::<V>(namespace, name, &requests).await.ok()?;
        Some((answer.freshness.source, of(&answer.value)))
    }

    /// Reads an object, and notes what was told.
    pub async fn read(&self, object: &Object, past_caches: bool) {
        let began = self.truth.borrow_mut().begin_read(object);
        let since = Instant::now();
        let answer = with_view!(object.0, V => self.version_of::<V>(object, past_caches).await);
        // A read that failed says nothing.
        let Some((source, version)) = answer else { return };
        self.report.borrow_mut().read(source, since.elapsed());
        self.truth.borrow_mut().end_read(object, began, source, version);
    }

    async fn listed<V: View>(&self, namespace: &str, select: &Select) -> Option<(ReadSource, Vec<(String, u64)>)> {
        let requests = Requests::default();
        let answer = self.router.read_list::<V>(namespace, select, &requests).await.ok()?;
        let pair = |object: &Arc<V>| (object.meta().name().to_string(), version(&**object));
        Some((answer.freshness.source, answer.value.iter().map(pair).collect()))
    }

    /// Lists what is ours, and notes what was told.
    async fn read_list(&self, kind: Kind, namespace: &'static str) {
        let known = self.truth.borrow().known();
        let here = |(of, at, _): &Object| *of == kind && *at == namespace;
        let here: Vec<Object> = known.into_iter().filter(here).collect();
        let begin = |object| self.truth.borrow_mut().begin_read(object);
        let begans: Vec<_> = here.iter().map(begin).collect();
        let select = ours();
        let since = Instant::now();
        let answer = with_view!(kind, V => self.listed::<V>(namespace, &select).await);
        let Some((source, found)) = answer else { return };
        self.report.borrow_mut().read(source, since.elapsed());
        let mut truth = self.truth.borrow_mut();
        for (object, began) in here.iter().zip(begans) {
            match found.iter().find(|(name, _)| *name == object.2) {
                // Only a store's own answer says that the store has it.
                Some((_, version)) if source == ReadSource::Cache => {
                    truth.end_read(object, began, source, Some(*version));
                }
                // Some of it may be the store's, and some of it is asked for one by one: what the server had when the
                // list began is not due.
                Some((_, version)) => truth.listed(object, began, *version),
                None => truth.not_listed(object, began),
            }
        }
    }

    /// Reads until it is over.
    pub async fn keep_reading(&self, reader: u64) {
        let mut dice = Dice::of(self.plan.seed, ("reader", reader));
        while !self.over.is_cancelled() {
            let object = Self::any(&mut dice);
            let (list, past_caches) = (dice.chance(15), dice.chance(10));
            if list && KINDS.contains(&object.0) {
                self.read_list(object.0, NAMESPACES[dice.below(2) as usize]).await;
            } else {
                self.read(&object, past_caches).await;
            }
            tokio::time::sleep(dice.pause(40)).await;
        }
    }
}
