//! Nobody gives away what they have not: a role may only say, and a binding only give, what its author has in that place.
//!
//! The verb `escalate` on a role, or `bind` on the role that a binding gives, lets one do so all the same.

use serde_json::Value;

use super::{
    super::{
        registry::{Call, Registry, meta},
        status::Failure,
    },
    GROUP, User,
    attributes::Attributes,
    quoted,
    rbac::{granted, role_key},
    rules::{self, Rule},
};

impl Registry {
    /// Refuses a write of a role or a binding by which its author would give away what they have not.
    pub(in crate::apiserver) fn check_escalation(
        &self,
        call: &Call,
        old: Option<&Value>,
        new: &Value,
    ) -> Result<(), Failure> {
        let user = &*call.user;
        if call.resource.group != GROUP || user.is_master() || old.is_some_and(|old| only_collection(old, new)) {
            return Ok(());
        }
        if call.resource.plural.ends_with("bindings") {
            self.check_binding(call, user, new)
        } else {
            self.check_role(call, user, old, new)
        }
    }

    fn check_role(&self, call: &Call, user: &User, old: Option<&Value>, new: &Value) -> Result<(), Failure> {
        let escalate = Attributes {
            verb: "escalate".into(),
            group: GROUP.into(),
            resource: call.resource.plural.clone(),
            namespace: call.namespace.clone(),
            name: call.name.clone(),
            ..Attributes::default()
        };
        if self.authorize(user, &escalate).allowed {
            return Ok(());
        }
        self.check_rules(call, user, new, &Rule::of_role(new))?;
        let gathers = |role: &Value| {
            let selectors = role.pointer("/aggregationRule/clusterRoleSelectors");
            selectors.and_then(Value::as_array).is_some_and(|s| !s.is_empty())
        };
        if gathers(new) || old.is_some_and(gathers) {
            // Such a role takes up whatever others say, so its author must have everything.
            let all = || vec!["*".to_owned()];
            let everything = [
                Rule {
                    verbs: all(),
                    api_groups: all(),
                    resources: all(),
                    ..Rule::default()
                },
                Rule {
                    verbs: all(),
                    non_resource_urls: all(),
                    ..Rule::default()
                },
            ];
            if self.check_rules(call, user, new, &everything).is_err() {
                let why = "must have cluster-admin privileges to use the aggregationRule";
                return Err(refused(call, new, why));
            }
        }
        Ok(())
    }

    fn check_binding(&self, call: &Call, user: &User, new: &Value) -> Result<(), Failure> {
        // Any other kind of role is found by validation.
        let Some(key) = role_key(&new["roleRef"], &call.namespace) else {
            return Ok(());
        };
        let plural = key.resource.split('.').next().unwrap_or_default();
        let bind = Attributes {
            verb: "bind".into(),
            group: GROUP.into(),
            resource: plural.to_owned(),
            namespace: call.namespace.clone(),
            name: key.name.clone(),
            ..Attributes::default()
        };
        if self.authorize(user, &bind).allowed {
            return Ok(());
        }
        match self.store.get(&key) {
            Some(role) => self.check_rules(call, user, new, &Rule::of_role(&role.value)),
            // Odd, and so on the real server: the role goes by the name of the binding's resource.
            None => Err(Failure::not_found(GROUP, &call.resource.plural, &key.name)),
        }
    }

    fn check_rules(&self, call: &Call, user: &User, new: &Value, wanted: &[Rule]) -> Result<(), Failure> {
        let granted = granted(&self.store, user, &call.namespace);
        let held: Vec<Rule> = granted.rules().cloned().collect();
        let missing = rules::missing(&held, wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let mut why = format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            quoted(&user.groups),
            missing.join("\n")
        );
        let problem = granted.problem(Some(&call.resource.plural));
        if !problem.is_empty() {
            why = format!("{why}; resolution errors: [{problem}]");
        }
        Err(refused(call, new, &why))
    }
}

fn refused(call: &Call, new: &Value, why: &str) -> Failure {
    Failure::denied(GROUP, &call.resource.plural, meta::text(new, "name"), why)
}

/// Whether a write changes nothing but what the garbage collector must change for an object to go.
fn only_collection(old: &Value, new: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            for field in ["ownerReferences", "finalizers", "selfLink", "managedFields"] {
                metadata.shift_remove(field);
            }
        }
        object
    };
    rest(old) == rest(new)
}
