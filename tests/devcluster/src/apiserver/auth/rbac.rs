//! Which rules a user has, and whether they allow something.

use serde_json::Value;

use super::{
    super::{
        registry::{Call, Registry, meta},
        status::Failure,
        store::{Key, Store},
    },
    GROUP, SERVICE_ACCOUNT, User,
    attributes::Attributes,
    rules::Rule,
};

/// Rules that a binding gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grant {
    /// Names the binding, its role and the subject that the user is.
    pub(super) source: String,
    pub(super) rules: Vec<Rule>,
}

/// What a user has in a namespace and everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) grants: Vec<Grant>,
    /// The roles that bindings name and that are not there, by kind and name.
    pub(super) absent: Vec<(String, String)>,
}

impl Granted {
    /// All rules, in order.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.grants.iter().flat_map(|grant| &grant.rules)
    }

    /// What is wrong as one text; empty where nothing is. The real server calls absent roles by their kind, but while it checks a write
    /// of a resource, by that resource.
    pub(super) fn problem(&self, resource: Option<&str>) -> String {
        let mut texts: Vec<String> = Vec::new();
        for (kind, name) in &self.absent {
            let what = resource.map_or_else(|| kind.to_lowercase(), str::to_owned);
            let text = format!("{what}.{GROUP} {name:?} not found");
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        match texts.as_slice() {
            [] => String::new(),
            [only] => only.clone(),
            many => format!("[{}]", many.join(", ")),
        }
    }
}

/// Whether something is allowed, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::apiserver) struct Decision {
    pub(in crate::apiserver) allowed: bool,
    /// `RBAC: allowed by …`; of a refusal what went wrong meanwhile, mostly nothing.
    pub(in crate::apiserver) reason: String,
}

/// Whether rules allow this: the first grant that does is the reason.
pub(super) fn authorize(wanted: &Attributes, granted: &Granted) -> Decision {
    let by = granted
        .grants
        .iter()
        .find(|grant| grant.rules.iter().any(|rule| rule.allows(wanted)));
    match (by, granted.problem(None)) {
        (Some(grant), _) => Decision {
            allowed: true,
            reason: format!("RBAC: allowed by {}", grant.source),
        },
        (None, problem) if problem.is_empty() => Decision::default(),
        (None, problem) => Decision {
            allowed: false,
            reason: format!("RBAC: {problem}"),
        },
    }
}

impl Registry {
    /// Whether a user may do this.
    pub(in crate::apiserver) fn authorize(&self, user: &User, wanted: &Attributes) -> Decision {
        if user.is_master() {
            return Decision {
                allowed: true,
                reason: String::new(),
            };
        }
        authorize(wanted, &granted(&self.store, user, &wanted.namespace))
    }

    /// A PUT or an apply of an absent object makes one, which takes that right besides its own.
    pub(in crate::apiserver) fn check_creation(&self, call: &Call) -> Result<(), Failure> {
        if call.verb == "create" {
            return Ok(());
        }
        let create = Attributes {
            verb: "create".into(),
            group: call.resource.group.clone(),
            resource: call.resource.plural.clone(),
            namespace: call.namespace.clone(),
            name: call.name.clone(),
            ..Attributes::default()
        };
        let decision = self.authorize(&call.user, &create);
        if decision.allowed {
            Ok(())
        } else {
            Err(create.forbidden(&call.user, &decision.reason))
        }
    }
}

/// The rules that bindings give to a user: those of the cluster, then those of a namespace (empty: none).
pub(super) fn granted(store: &Store, user: &User, namespace: &str) -> Granted {
    let mut out = Granted::default();
    let cluster = store.list(&format!("clusterrolebindings.{GROUP}").into(), None);
    let local = (!namespace.is_empty()).then(|| store.list(&format!("rolebindings.{GROUP}").into(), Some(namespace)));
    for binding in cluster.objects.iter().chain(local.iter().flat_map(|l| &l.objects)) {
        let place = &binding.key.namespace;
        let Some(subject) = subject_of(user, &binding.value, place) else {
            continue;
        };
        let role = &binding.value["roleRef"];
        match role_rules(store, role, place) {
            Ok(rules) => out.grants.push(Grant {
                source: describe(&binding.value, place, role, &subject),
                rules,
            }),
            Err(absent) => out.absent.push(absent),
        }
    }
    out
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    of[field].as_str().unwrap_or_default()
}

/// The first subject of a binding that the user is, in words.
fn subject_of(user: &User, binding: &Value, place: &str) -> Option<String> {
    let subjects = binding["subjects"].as_array().into_iter().flatten();
    subjects.into_iter().find_map(|subject| {
        let (kind, name) = (text(subject, "kind"), text(subject, "name"));
        let (is_user, shown) = match kind {
            "User" => (user.name == name, name.to_owned()),
            "Group" => (user.is_in(name), name.to_owned()),
            "ServiceAccount" => {
                let namespace = match text(subject, "namespace") {
                    "" => place,
                    given => given,
                };
                let known = !namespace.is_empty() && user.name == format!("{SERVICE_ACCOUNT}{namespace}:{name}");
                (known, format!("{name}/{namespace}"))
            }
            _ => (false, String::new()),
        };
        is_user.then(|| format!("{kind} {shown:?}"))
    })
}

fn describe(binding: &Value, place: &str, role: &Value, subject: &str) -> String {
    let name = meta::text(binding, "name");
    let (kind, name) = if place.is_empty() {
        ("ClusterRoleBinding", name.to_owned())
    } else {
        ("RoleBinding", format!("{name}/{place}"))
    };
    format!(
        "{kind} {name:?} of {} {:?} to {subject}",
        text(role, "kind"),
        text(role, "name")
    )
}

/// The stored role that a binding in `place` names.
pub(super) fn role_key(role: &Value, place: &str) -> Option<Key> {
    let (plural, namespace) = match text(role, "kind") {
        "Role" => ("roles", place),
        "ClusterRole" => ("clusterroles", ""),
        _ => return None,
    };
    Some(Key {
        resource: format!("{plural}.{GROUP}").into(),
        namespace: namespace.to_owned(),
        name: text(role, "name").to_owned(),
    })
}

/// The rules of the role that a binding in `place` names; if it is not there, its kind and name.
fn role_rules(store: &Store, role: &Value, place: &str) -> Result<Vec<Rule>, (String, String)> {
    role_key(role, place)
        .and_then(|key| store.get(&key))
        .map(|object| Rule::of_role(&object.value))
        .ok_or_else(|| (text(role, "kind").to_owned(), text(role, "name").to_owned()))
}
