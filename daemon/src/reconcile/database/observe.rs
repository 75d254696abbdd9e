//! Reading what a pass needs: the resource, the others that want the same database, the cluster, Neo4j.

use std::sync::Arc;

use neo4j_operator_crds::{
    Neo4jDatabase, Neo4jDatabaseStatus, Neo4jEnterpriseCluster, database::rules::canonical_name,
};
use neo4j_operator_shared::Kind;
use serde_json::Value;

use crate::{
    cache::{Custom, Meta, ReadError, Select},
    neo4j::{BoltError, ClusterClient, DatabaseView, ServerRow, fold_databases},
    reconcile::{
        Context, Key, Requests, Subject,
        status::believable,
        target::{self, TargetError},
    },
};

/// The resource of a pass.
pub(super) struct Resource {
    /// As it was read.
    pub custom: Arc<Custom<Neo4jDatabase>>,
    /// Decoded.
    pub object: Arc<Neo4jDatabase>,
    /// Its status, never older than what this process wrote.
    pub status: Neo4jDatabaseStatus,
    /// The same as JSON.
    pub raw_status: Value,
    /// For events.
    pub subject: Subject,
}

impl Resource {
    /// Takes what was read apart; an error is what cannot be decoded.
    pub fn new(context: &Context, custom: Arc<Custom<Neo4jDatabase>>) -> Result<Self, String> {
        let object = custom.object.clone()?;
        let meta = &custom.meta;
        let seen = serde_json::to_value(&object.status).unwrap_or_default();
        let raw_status = context
            .status
            .latest(&meta.uid().to_string(), &meta.resource_version().to_string(), &seen);
        let status = serde_json::from_value::<Option<Neo4jDatabaseStatus>>(believable(&raw_status, meta.generation()))
            .ok()
            .flatten()
            .unwrap_or_default();
        Ok(Self {
            subject: subject(meta),
            object,
            status,
            raw_status,
            custom,
        })
    }

    /// Its metadata.
    pub fn meta(&self) -> &Meta {
        &self.custom.meta
    }

    /// The database's name as Neo4j has it.
    pub fn database(&self) -> String {
        canonical_name(&self.object.spec.name)
    }

    /// Whether this very resource has claimed the database.
    pub fn claimed(&self) -> bool {
        let claim = self.status.claim.as_ref();
        claim.is_some_and(|claim| {
            claim.uid.as_deref() == Some(&*self.meta().uid().to_string())
                && claim.database.as_deref() == Some(&*self.database())
        })
    }
}

/// What events are about.
pub(super) fn subject(meta: &Meta) -> Subject {
    Subject {
        kind: Kind::Neo4jDatabase,
        namespace: meta.namespace().to_string(),
        name: meta.name().to_string(),
        uid: meta.uid().to_string(),
    }
}

/// How fresh an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// As the cache has it.
    Cached,
    /// As the server has it: for what cannot be taken back (K53).
    Live,
}

/// The other living resources that want the same database of the same cluster.
pub(super) async fn rivals(
    context: &Context,
    resource: &Resource,
    freshness: Freshness,
    requests: &Requests,
) -> Result<Vec<Arc<Custom<Neo4jDatabase>>>, ReadError> {
    let spec = &resource.object.spec;
    let (cluster, database) = (&spec.cluster_ref, resource.database());
    let namespace = resource.meta().namespace();
    let mut found = match freshness {
        Freshness::Cached => context.cache.customs::<Neo4jDatabase>(namespace, requests).await?,
        Freshness::Live => context.cache.live_list(namespace, &Select::All, requests).await?,
    };
    found.retain(|other| {
        // The raw spec, so that one that does not decode keeps its claim too.
        let same = |field: &str, value: &str| other.spec[field].as_str().map(canonical_name).as_deref() == Some(value);
        other.meta.uid() != resource.meta().uid()
            && other.meta.deleting().is_none()
            && other.spec["clusterRef"].as_str() == Some(cluster)
            && same("name", &database)
    });
    Ok(found)
}

/// The rival that was there first, by creation, then by uid (B3).
pub(super) fn elder<'a>(
    resource: &Resource,
    rivals: &'a [Arc<Custom<Neo4jDatabase>>],
) -> Option<&'a Custom<Neo4jDatabase>> {
    let age = |meta: &Meta| (meta.created(), meta.uid());
    rivals
        .iter()
        .map(|rival| &**rival)
        .filter(|rival| age(&rival.meta) < age(resource.meta()))
        .min_by_key(|rival| age(&rival.meta))
}

/// The cluster that hosts the database, if it can be used now. `refers` wakes the key when it changes.
pub(super) async fn cluster(
    context: &Context,
    key: &Key,
    name: &str,
    freshness: Freshness,
    requests: &Requests,
) -> Result<Arc<Custom<Neo4jEnterpriseCluster>>, TargetError> {
    let (cache, namespace) = (&context.cache, &key.namespace);
    cache.refers(key, Kind::Neo4jEnterpriseCluster, namespace, name);
    let found = match freshness {
        Freshness::Cached => cache.custom(namespace, name, requests).await?,
        Freshness::Live => {
            cache
                .live::<Custom<Neo4jEnterpriseCluster>>(namespace, name, requests)
                .await?
        }
    };
    let cluster = found.ok_or_else(|| TargetError::ClusterNotFound(name.to_owned()))?;
    if cluster.meta.deleting().is_some() {
        return Err(TargetError::ClusterDeleting(name.to_owned()));
    }
    Ok(cluster)
}

/// Whether the servers of a cluster have met, so that they can be asked for databases.
pub(super) fn is_formed(cluster: &Custom<Neo4jEnterpriseCluster>) -> bool {
    let Ok(object) = &cluster.object else { return false };
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "ClusterFormed" && condition.status == "True")
}

/// Commands on a cluster.
pub(super) async fn client(
    context: &Context,
    key: &Key,
    cluster: &Custom<Neo4jEnterpriseCluster>,
    reconcile_id: &str,
    requests: &Requests,
) -> Result<ClusterClient, TargetError> {
    if let Ok(object) = &cluster.object
        && let Some(secret) = target::certificate_secret(cluster.meta.name(), &object.spec)
    {
        context.cache.refers(key, Kind::Secret, &key.namespace, &secret);
    }
    let target = target::observe(context, cluster, requests).await?;
    Ok(context.neo4j.cluster(target).for_reconcile(reconcile_id))
}

/// What Neo4j says: the database if there is one, and the servers.
pub(super) async fn neo4j(
    client: &ClusterClient,
    database: &str,
) -> Result<(Option<DatabaseView>, Vec<ServerRow>), BoltError> {
    let (rows, servers) = futures::try_join!(client.databases(), client.servers())?;
    // `system` is always there. An answer without it is none (STA5).
    let mut databases = fold_databases(rows);
    if !databases.contains_key("system") {
        return Err(BoltError::new(
            crate::neo4j::ErrorKind::Decode,
            "the list of databases does not hold system, so it is not the whole list",
        ));
    }
    Ok((databases.remove(database), servers))
}
