//! The end: what the cache says is what the server has, and every owner has run.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::api::ListParams;
use neo4j_operator::{
    cache::{ConfigMapView, ReadSource, SecretMeta, Select, ServiceView, View},
    reconcile::Requests,
};
use neo4j_operator_shared::{Kind, Strategy, switch::Wanted, watches::WatchState};

use crate::{
    field::{Field, KINDS},
    readers::{Cluster, ours, with_view},
    target::NAMESPACES,
};

/// What an event that is on its way may still take.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

/// A view that can be compared.
trait Content: View {
    fn same(&self, other: &Self) -> bool;
}

impl Content for ConfigMapView {
    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl Content for SecretMeta {
    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl Content for ServiceView {
    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl Content for Cluster {
    fn same(&self, other: &Self) -> bool {
        self.meta == other.meta && self.spec == other.spec && self.phase == other.phase && self.object.is_ok()
    }
}

impl Field {
    /// Waits until the watches are well and all owners have run, but not for ever.
    pub async fn settle(&self) {
        let well = || {
            let watches = self.router.watches();
            let mut watches = watches.items.iter();
            watches.all(|watch| watch.state == WatchState::Live) && self.truth.borrow().lost().is_empty()
        };
        // A watch that failed often pauses for 30 s and a tenth more; and once again, if it is told then that what it
        // had seen last is too old to go on from, and was told so not long before.
        let _ = tokio::time::timeout(Duration::from_secs(90), async {
            while !well() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
        tokio::time::sleep(ON_ITS_WAY).await;
    }

    fn violated(&self, line: String) {
        self.truth.borrow_mut().violations.push(line);
    }

    /// Compares one kind in one namespace; the answer is who answered a list of what is ours.
    async fn compare_one<V: Content>(&self, kind: Kind, namespace: &'static str) -> ReadSource {
        let list = self.api(kind, namespace).list(&ListParams::default()).await.unwrap();
        let decode = |object| -> V { serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap() };
        let there = list.items.into_iter().map(|object| {
            let view = decode(object);
            (view.meta().name().to_string(), view)
        });
        let there: BTreeMap<String, V> = there.collect();
        let requests = Requests::default();
        let mut source = ReadSource::Live;
        for select in [Select::All, ours()] {
            let answer = self.router.read_list::<V>(namespace, &select, &requests).await.unwrap();
            source = answer.freshness.source;
            let expected: Vec<&V> = there.values().filter(|view| select.matches(view.meta())).collect();
            let same = |(found, expected): (&Arc<V>, &&V)| found.same(expected);
            let equal = answer.value.len() == expected.len() && answer.value.iter().zip(&expected).all(same);
            if !equal {
                let name = |view: &V| format!("{}@{}", view.meta().name(), view.meta().resource_version());
                let found: Vec<String> = answer.value.iter().map(|view| name(view)).collect();
                let expected: Vec<String> = expected.into_iter().map(name).collect();
                self.violated(format!(
                    "{kind} in {namespace} by {source:?}: {found:?}, not {expected:?}"
                ));
            }
        }
        let known = self.truth.borrow().known();
        for object in known {
            if (object.0, object.1) != (kind, namespace) {
                continue;
            }
            let found = self.router.read::<V>(namespace, &object.2, &requests).await.unwrap();
            let equal = match (&found.value, there.get(&object.2)) {
                (Some(found), Some(expected)) => found.same(expected),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            if !equal {
                let version = &found.freshness.resource_version;
                self.violated(format!(
                    "{object:?} in the end, by {:?}: {version:?}",
                    found.freshness.source
                ));
            }
        }
        source
    }

    /// What the cache says is what the server has; who answered, by kind.
    pub async fn compare(&self) -> BTreeMap<Kind, ReadSource> {
        let mut sources = BTreeMap::new();
        for kind in KINDS.into_iter().chain([Kind::Neo4jEnterpriseCluster]) {
            for namespace in NAMESPACES {
                let source = with_view!(kind, V => self.compare_one::<V>(kind, namespace).await);
                sources.insert(kind, source);
            }
        }
        sources
    }

    /// The same under every strategy, each of which answers as it should.
    pub async fn compare_each(&self) {
        for strategy in Strategy::ALL {
            self.set(Wanted::Strategy(strategy), None).await;
            if strategy == Strategy::Lazy {
                self.raised().await;
            }
            let expected = if strategy == Strategy::None {
                ReadSource::Live
            } else {
                ReadSource::Cache
            };
            for (kind, source) in self.compare().await {
                if KINDS.contains(&kind) && source != expected {
                    self.violated(format!("{strategy}: {kind} by {source:?}, not {expected:?}"));
                }
            }
        }
    }

    /// Reads until `lazy` has raised what is read; after failures it would wait for long.
    async fn raised(&self) {
        self.router.warm(Some(&KINDS));
        let _ = tokio::time::timeout(Duration::from_secs(60), async {
            for kind in KINDS {
                while with_view!(kind, V => self.compare_one::<V>(kind, NAMESPACES[0]).await) != ReadSource::Cache {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        })
        .await;
    }
}
