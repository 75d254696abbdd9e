//! Which resources there are: the built-in table, and those that definitions add while the server runs.
//!
//! A [`Resource`] holds what differs between kinds and can be said as data; what must be said as code is in the registry's rules.

use std::{collections::BTreeMap, sync::Arc};

use super::{crd::Served, smd::TypeSchema};

/// One resource in one version, as paths name it.
#[derive(Debug)]
pub(super) struct Resource {
    /// The stored resource; two versions of one thing (events) share it.
    pub(super) id: Arc<str>,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) kind: String,
    pub(super) list_kind: String,
    pub(super) namespaced: bool,
    pub(super) short_names: Vec<String>,
    pub(super) categories: Vec<String>,
    /// Whether `/status` exists: then the main endpoint does not write status.
    pub(super) status: bool,
    /// A PUT of an absent object creates it.
    pub(super) create_on_put: bool,
    /// A PUT without resourceVersion overwrites.
    pub(super) unconditional: bool,
    /// A finished delete answers with the object instead of a Status.
    pub(super) returns_deleted: bool,
    /// A POST is a question: nothing is stored.
    pub(super) unstored: bool,
    /// Field selectors besides `metadata.name` and `metadata.namespace`.
    pub(super) fields: &'static [&'static str],
    pub(super) types: TypeSchema,
    /// What a definition adds; `None` for built-in kinds.
    pub(super) custom: Option<Arc<Served>>,
}

impl Resource {
    /// `v1`, `apps/v1`.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The group that messages about this kind name: Events are checked in their core form.
    pub(super) fn message_group(&self) -> &str {
        if &*self.id == "events" { "" } else { &self.group }
    }

    pub(super) fn is(&self, id: &str) -> bool {
        &*self.id == id
    }

    pub(super) fn verbs(&self) -> &'static [&'static str] {
        if self.unstored {
            &["create"]
        } else if self.custom.is_some() {
            &[
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "create",
                "update",
                "watch",
            ]
        } else if self.is("namespaces") {
            &["create", "delete", "get", "list", "patch", "update", "watch"]
        } else {
            &[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ]
        }
    }
}

/// A row of the built-in table.
struct Row {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
    short_names: &'static [&'static str],
    /// `s` status, `c` created by PUT, `v` PUT needs a version, `o` delete answers with the object, `a` category all, `u` not stored.
    flags: &'static str,
    fields: &'static [&'static str],
}

const fn row(
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    short_names: &'static [&'static str],
    flags: &'static str,
) -> Row {
    Row {
        group,
        version: "v1",
        plural,
        kind,
        namespaced: true,
        short_names,
        flags,
        fields: &[],
    }
}

impl Row {
    const fn cluster_scoped(mut self) -> Self {
        self.namespaced = false;
        self
    }

    const fn with_fields(mut self, fields: &'static [&'static str]) -> Self {
        self.fields = fields;
        self
    }
}

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

const POD_FIELDS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];

/// The same words select events in both versions; they are matched against the stored, core form.
const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

const TABLE: &[Row] = &[
    row("", "configmaps", "ConfigMap", &["cm"], ""),
    row("", "events", "Event", &["ev"], "c").with_fields(EVENT_FIELDS),
    row("", "namespaces", "Namespace", &["ns"], "s")
        .cluster_scoped()
        .with_fields(&["status.phase"]),
    row("", "nodes", "Node", &["no"], "s")
        .cluster_scoped()
        .with_fields(&["spec.unschedulable"]),
    row("", "persistentvolumeclaims", "PersistentVolumeClaim", &["pvc"], "so"),
    row("", "persistentvolumes", "PersistentVolume", &["pv"], "so").cluster_scoped(),
    row("", "pods", "Pod", &["po"], "soa").with_fields(POD_FIELDS),
    row("", "secrets", "Secret", &[], "").with_fields(&["type"]),
    row("", "serviceaccounts", "ServiceAccount", &["sa"], "o"),
    row("", "services", "Service", &["svc"], "scoa").with_fields(&["spec.clusterIP", "spec.type"]),
    row("apps", "controllerrevisions", "ControllerRevision", &[], ""),
    row("apps", "statefulsets", "StatefulSet", &["sts"], "sa"),
    row(AUTHENTICATION, "selfsubjectreviews", "SelfSubjectReview", &[], "u").cluster_scoped(),
    row(AUTHENTICATION, "tokenreviews", "TokenReview", &[], "u").cluster_scoped(),
    row(
        AUTHORIZATION,
        "localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        &[],
        "u",
    ),
    row(
        AUTHORIZATION,
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        &[],
        "u",
    )
    .cluster_scoped(),
    row(
        AUTHORIZATION,
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        &[],
        "u",
    )
    .cluster_scoped(),
    row(AUTHORIZATION, "subjectaccessreviews", "SubjectAccessReview", &[], "u").cluster_scoped(),
    row("batch", "cronjobs", "CronJob", &["cj"], "sa"),
    row("batch", "jobs", "Job", &[], "sa").with_fields(&["status.successful"]),
    row("coordination.k8s.io", "leases", "Lease", &[], "cv"),
    row("events.k8s.io", "events", "Event", &["ev"], "c").with_fields(EVENT_FIELDS),
    row("networking.k8s.io", "ingresses", "Ingress", &["ing"], "s"),
    row("networking.k8s.io", "networkpolicies", "NetworkPolicy", &["netpol"], ""),
    row("policy", "poddisruptionbudgets", "PodDisruptionBudget", &["pdb"], "sv"),
    row(RBAC, "clusterrolebindings", "ClusterRoleBinding", &[], "c").cluster_scoped(),
    row(RBAC, "clusterroles", "ClusterRole", &[], "c").cluster_scoped(),
    row(RBAC, "rolebindings", "RoleBinding", &[], "c"),
    row(RBAC, "roles", "Role", &[], "c"),
    row("storage.k8s.io", "storageclasses", "StorageClass", &["sc"], "").cluster_scoped(),
    row(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        &["crd", "crds"],
        "sv",
    )
    .cluster_scoped(),
];

/// Bodies of subresources: no path leads to them.
const BODIES: &[Row] = &[
    row(AUTHENTICATION, "tokenrequests", "TokenRequest", &[], "u"),
    row("policy", "evictions", "Eviction", &[], "u"),
];

fn builtin(row: &Row) -> Option<Resource> {
    let has = |flag| row.flags.contains(flag);
    let api_version = if row.group.is_empty() {
        row.version.to_owned()
    } else {
        format!("{}/{}", row.group, row.version)
    };
    let id = match row.group {
        "" | "events.k8s.io" => row.plural.to_owned(),
        group => format!("{}.{group}", row.plural),
    };
    Some(Resource {
        id: id.into(),
        group: row.group.into(),
        version: row.version.into(),
        plural: row.plural.into(),
        singular: row.kind.to_lowercase(),
        kind: row.kind.into(),
        list_kind: format!("{}List", row.kind),
        namespaced: row.namespaced,
        short_names: row.short_names.iter().map(ToString::to_string).collect(),
        categories: if has('a') { vec!["all".into()] } else { Vec::new() },
        status: has('s'),
        create_on_put: has('c'),
        unconditional: !has('v'),
        returns_deleted: has('o'),
        unstored: has('u'),
        fields: row.fields,
        types: TypeSchema::builtin(&api_version, row.kind)?.with_status_subresource(has('s')),
        custom: None,
    })
}

/// All resources that the server has now.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    /// By group, version and plural name.
    resources: BTreeMap<(String, String, String), Arc<Resource>>,
    /// What subresources take, by kind.
    bodies: BTreeMap<String, Arc<Resource>>,
}

impl Catalog {
    /// The built-in kinds.
    pub(super) fn builtin() -> Self {
        let mut catalog = Self::default();
        for row in TABLE {
            if let Some(resource) = builtin(row) {
                catalog.insert(resource);
            }
        }
        for resource in BODIES.iter().filter_map(builtin) {
            catalog.bodies.insert(resource.kind.clone(), Arc::new(resource));
        }
        catalog
    }

    /// What a subresource takes: `TokenRequest`, `Eviction`.
    pub(super) fn body(&self, kind: &str) -> Option<&Arc<Resource>> {
        self.bodies.get(kind)
    }

    pub(super) fn insert(&mut self, resource: Resource) {
        let key = (
            resource.group.clone(),
            resource.version.clone(),
            resource.plural.clone(),
        );
        self.resources.insert(key, Arc::new(resource));
    }

    /// Takes out the resources of a definition.
    pub(super) fn remove_custom(&mut self, group: &str, plural: &str) {
        self.resources
            .retain(|(g, _, p), resource| !(g == group && p == plural && resource.custom.is_some()));
    }

    pub(super) fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// All resources, by group, version and name.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// The resources of one group and version.
    pub(super) fn of(&self, group: &str, version: &str) -> Vec<&Arc<Resource>> {
        self.all()
            .filter(|r| r.group == group && r.version == version)
            .collect()
    }

    /// Every named group with its versions.
    pub(super) fn groups(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut out: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for resource in self.all() {
            let versions = out.entry(&resource.group).or_default();
            if !versions.contains(&resource.version.as_str()) {
                versions.push(&resource.version);
            }
        }
        out
    }

    /// Whether a built-in kind lives in this group and version.
    pub(super) fn is_builtin(&self, group: &str, version: &str) -> bool {
        self.of(group, version).iter().any(|r| r.custom.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_has_a_schema() {
        let catalog = Catalog::builtin();
        assert_eq!(
            (catalog.all().count(), catalog.bodies.len()),
            (TABLE.len(), BODIES.len())
        );
    }
}
