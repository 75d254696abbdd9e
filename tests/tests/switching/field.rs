//! Who acts in a campaign: writers, who are others and now and then ourselves, and workers that run keys.
//!
//! Each writer has objects of its own, so that what it writes is known without asking, and does not depend on what else
//! is under way: per namespace a custom resource, and of each kind some objects that belong to it by `ownerReferences`,
//! some to a cluster of their own by label, and some to nobody. Custom resources come and go too: an object that names
//! one that is gone belongs to nobody, whoever has its name now.

use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration};

use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::ObjectMeta,
};
use neo4j_operator::{
    cache::Router,
    queue::{Queue, Verdict},
    reconcile::Resource,
};
use neo4j_operator_shared::Kind;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    Plan, Report,
    dice::Dice,
    storm::{Planted, Storm},
    target::NAMESPACES,
    truth::{Hand, Left, Object, Truth},
};

/// The kinds whose strategy changes.
pub const KINDS: [Kind; 3] = [Kind::ConfigMap, Kind::Secret, Kind::Service];
pub const WRITERS: u64 = 4;
/// Objects of each kind that each writer has in each namespace.
const NAMES: u64 = 8;

pub const MANAGED: (&str, &str) = ("app.kubernetes.io/managed-by", "neo4j-operator");
const CLUSTER: &str = "neo4j.com/cluster";

/// A campaign under way.
pub struct Field {
    pub plan: Plan,
    /// Past the storm.
    pub client: Client,
    pub router: Router,
    /// What is read past the caches, and they are not told.
    pub untold: Router,
    pub queue: Queue,
    pub storm: std::sync::Arc<Storm>,
    pub truth: RefCell<Truth>,
    pub report: RefCell<Report>,
    /// Writers go on until then.
    pub written: CancellationToken,
    /// Then readers stop too.
    pub over: CancellationToken,
}

/// Somebody who writes.
pub struct Writer {
    field: Rc<Field>,
    number: u64,
    dice: Dice,
    /// Uid of the custom resource in each namespace, while it is there.
    uids: HashMap<&'static str, String>,
    /// What it refers to: the uid that the owner had when each object was last written.
    referred: HashMap<Object, String>,
}

/// A change of an object.
struct Change {
    body: Value,
    /// The cluster that it belongs to from then on.
    owner: Option<String>,
    /// The uid by which it names it.
    uid: Option<String>,
}

impl Field {
    pub fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &Resource::of(kind).into())
    }

    /// Any object that a writer has, or will have.
    pub fn any(dice: &mut Dice) -> Object {
        let namespace = NAMESPACES[dice.below(2) as usize];
        if dice.chance(10) {
            let name = custom_resource(dice.below(WRITERS));
            return (Kind::Neo4jEnterpriseCluster, namespace, name);
        }
        let kind = KINDS[dice.below(3) as usize];
        (kind, namespace, format!("o{}", dice.below(NAMES * WRITERS)))
    }

    /// Runs keys as workers do, until nothing is left to run.
    pub async fn work(&self) {
        let mut dice = Dice::of(self.plan.seed, "work");
        while let Some(job) = self.queue.next().await {
            let lost = self.plan.planted == Planted::KeysLost && dice.chance(10);
            let namespace = NAMESPACES.into_iter().find(|known| **known == *job.key.namespace);
            if let Some(namespace) = namespace
                && job.key.kind == Kind::Neo4jEnterpriseCluster
                && !lost
            {
                self.truth
                    .borrow_mut()
                    .runs(namespace, job.key.name.to_string(), &job.trigger);
                self.report.borrow_mut().runs += 1;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.queue.finish(&job.key, Verdict::Done(None));
        }
    }
}

fn custom_resource(writer: u64) -> String {
    format!("c{writer}")
}

impl Writer {
    pub fn new(field: &Rc<Field>, number: u64) -> Self {
        Self {
            field: Rc::clone(field),
            number,
            dice: Dice::of(field.plan.seed, ("writer", number)),
            uids: HashMap::new(),
            referred: HashMap::new(),
        }
    }

    /// Writes so often.
    pub async fn write(&mut self, times: u64) {
        for _ in 0..times {
            self.once().await;
        }
    }

    /// Writes until it is enough.
    pub async fn write_on(&mut self) {
        while !self.field.written.is_cancelled() {
            self.once().await;
        }
    }

    async fn once(&mut self) {
        let namespace = NAMESPACES[self.dice.below(2) as usize];
        let object = if self.dice.chance(8) {
            (Kind::Neo4jEnterpriseCluster, namespace, custom_resource(self.number))
        } else {
            let kind = KINDS[self.dice.below(3) as usize];
            let name = format!("o{}", self.dice.below(NAMES) * WRITERS + self.number);
            (kind, namespace, name)
        };
        let (delete, ours) = (self.dice.chance(30), self.dice.chance(30));
        let change = self.change(&object);
        let pause = self.dice.pause(60);
        self.one_write(&object, change, delete, ours).await;
        tokio::time::sleep(pause).await;
    }

    /// What an object becomes if it is not deleted.
    fn change(&mut self, object: &Object) -> Change {
        let (kind, namespace, name) = object;
        let dice = &mut self.dice;
        let turn = format!("t{}", dice.below(1_000_000));
        let (own, named) = (dice.chance(70), dice.chance(50));
        let number = dice.below(60_000);
        let mut metadata = json!({"name": name, "labels": {"turn": turn}});
        if *kind == Kind::Neo4jEnterpriseCluster {
            let body = json!({"metadata": metadata, "spec": {
                "image": {"repo": "neo4j", "tag": "5.26.0-enterprise"},
                "topology": {"servers": 3},
                "storage": {"className": "standard", "size": "1Gi"},
                "auth": {"adminSecret": format!("secret-{}", number % 3)},
            }});
            return Change {
                body,
                owner: Some(name.clone()),
                uid: None,
            };
        }
        let mut change = Change {
            body: Value::Null,
            owner: own.then(|| format!("{kind}-{name}")),
            uid: None,
        };
        // In a merge patch null takes away what is there; in a new object it is nothing.
        metadata["labels"][MANAGED.0] = if own { json!(MANAGED.1) } else { Value::Null };
        metadata["labels"][CLUSTER] = json!(change.owner);
        metadata["ownerReferences"] = Value::Null;
        if let (true, Some(uid)) = (own && named, self.uids.get(namespace)) {
            let owner = custom_resource(self.number);
            metadata["ownerReferences"] = json!([{
                "apiVersion": "neo4j.neo4j.com/v1beta1", "kind": "Neo4jEnterpriseCluster", "name": owner, "uid": uid,
                "controller": true,
            }]);
            change.owner = Some(owner);
            change.uid = Some(uid.clone());
        }
        change.body = json!({"metadata": metadata});
        match kind {
            Kind::Service => change.body["spec"] = json!({"ports": [{"port": 1 + number}]}),
            Kind::Secret => change.body["data"] = json!({"k": "Y2FuYXJ5"}),
            _ => change.body["data"] = json!({"k": format!("{number}")}),
        }
        change
    }

    async fn one_write(&mut self, object: &Object, change: Change, delete: bool, ours: bool) {
        let field = Rc::clone(&self.field);
        let (kind, namespace, name) = object;
        let api = field.api(*kind, namespace);
        let before = field.truth.borrow().last(object);
        let began = field.truth.borrow_mut().begin_write(object);
        // What we write ourselves belongs to us before and after.
        let is_ours = match &before {
            Some((_, owner)) => owner.is_some(),
            // Custom resources are others' to make.
            None => *kind != Kind::Neo4jEnterpriseCluster,
        };
        let is_ours = is_ours && change.owner.is_some();
        let ours = ours && !delete && is_ours;
        let written = match &before {
            Some((version, _)) if delete => {
                let gone = api.delete(name, &DeleteParams::default()).await;
                gone.map(|_| (Left::Gone(*version), None))
            }
            Some(_) => {
                let patched = api
                    .patch(name, &PatchParams::default(), &Patch::Merge(&change.body))
                    .await;
                patched.map(|object| (there(&object, &change), Some(object.metadata)))
            }
            None => {
                let mut object = without_nulls(change.body.clone());
                object["apiVersion"] = json!(Resource::of(*kind).api_version());
                object["kind"] = json!(kind.kind());
                let created = api
                    .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
                    .await;
                created.map(|object| (there(&object, &change), Some(object.metadata)))
            }
        };
        field.report.borrow_mut().writes += 1;
        match written {
            Ok((left, metadata)) => self.note(object, began, &left, metadata, &change, ours),
            Err(error) => field.truth.borrow_mut().no_write(object, &error),
        }
        if ours {
            field.read(object, false).await;
        }
    }

    fn note(
        &mut self,
        object: &Object,
        began: u64,
        left: &Left,
        metadata: Option<ObjectMeta>,
        change: &Change,
        ours: bool,
    ) {
        let (kind, namespace, _) = object;
        if *kind == Kind::Neo4jEnterpriseCluster {
            match metadata.as_ref().and_then(|metadata| metadata.uid.clone()) {
                Some(uid) => drop(self.uids.insert(namespace, uid)),
                None => drop(self.uids.remove(namespace)),
            }
        }
        let hand = match (ours, self.was_orphan(object, left, change)) {
            (true, _) => Hand::Ours,
            (false, true) => Hand::OfOrphan,
            (false, false) => Hand::Theirs,
        };
        let mut truth = self.field.truth.borrow_mut();
        truth.end_write(object, began, left, hand);
        if let (true, Left::There(version, _), Some(metadata)) = (ours, left, metadata) {
            if self.field.plan.planted != Planted::OwnWritesForgotten {
                let metadata = serde_json::to_value(metadata).unwrap();
                self.field.router.wrote(*kind, &metadata);
            }
            truth.wrote(object, *version);
        }
    }

    /// Whether an object leaves an owner that is no longer there: its end wakes nobody.
    fn was_orphan(&mut self, object: &Object, left: &Left, change: &Change) -> bool {
        let before = match (&change.uid, left) {
            (Some(uid), Left::There(..)) => self.referred.insert(object.clone(), uid.clone()),
            _ => self.referred.remove(object),
        };
        let leaves = !matches!(left, Left::There(_, Some(_)));
        leaves && before.is_some_and(|uid| self.uids.get(object.1) != Some(&uid))
    }
}

/// The object as a write has left it.
fn there(object: &DynamicObject, change: &Change) -> Left {
    let version = object.metadata.resource_version.as_ref();
    let version = version
        .and_then(|version| version.parse().ok())
        .expect("a resourceVersion");
    Left::There(version, change.owner.clone())
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, value| !value.is_null());
        for value in map.values_mut() {
            *value = without_nulls(value.take());
        }
    }
    value
}
