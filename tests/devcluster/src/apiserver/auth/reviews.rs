//! Answers to questions about users and rights, which store nothing: reviews, and tokens of service accounts.

use serde_json::{Value, json};

use super::{
    super::{
        clock::seconds,
        registry::{Call, Decoded, Registry, meta},
        schema::FieldError,
        status::Failure,
        store::Key,
    },
    User,
    attributes::Attributes,
    rbac::granted,
    tokens::{Bound, Claims, ISSUER, Reference},
};

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
/// Tokens of a shorter life than this are not made.
const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;

/// An answer with the texts of its warnings.
type Answer = (Value, Vec<String>);

impl Registry {
    /// POST of a review.
    pub(in crate::apiserver) fn review(&self, call: &Call, body: Decoded) -> Result<Answer, Failure> {
        let (mut value, warnings) = self.unstored(call, body)?;
        let user = &*call.user;
        match call.resource.kind.as_str() {
            "SelfSubjectAccessReview" => {
                check_access(&value, false, None)?;
                let status = self.access(user, &value["spec"]);
                value["status"] = status;
            }
            "SubjectAccessReview" => {
                check_access(&value, true, None)?;
                let status = self.access(&user_of(&value["spec"]), &value["spec"]);
                value["status"] = status;
            }
            "LocalSubjectAccessReview" => {
                check_access(&value, true, Some(&call.namespace))?;
                let status = self.access(&user_of(&value["spec"]), &value["spec"]);
                value["status"] = status;
            }
            "SelfSubjectRulesReview" => value = self.rules_review(user, &value)?,
            "SelfSubjectReview" => {
                value = answer(call);
                value["metadata"] = json!({"creationTimestamp": seconds(self.clock.now())});
                value["status"] = json!({"userInfo": user_info(user)});
            }
            "TokenReview" => self.token_review(&mut value)?,
            other => return Err(Failure::internal(format!("no answer to a {other}"))),
        }
        Ok((value, warnings))
    }

    /// `status` of an access review about this user.
    fn access(&self, user: &User, spec: &Value) -> Value {
        let decision = self.authorize(user, &Attributes::from_review(spec));
        let mut status = json!({"allowed": decision.allowed});
        if !decision.reason.is_empty() {
            status["reason"] = json!(decision.reason);
        }
        status
    }

    fn rules_review(&self, user: &User, value: &Value) -> Result<Value, Failure> {
        let namespace = value
            .pointer("/spec/namespace")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if namespace.is_empty() {
            return Err(Failure::bad_request("no namespace on request"));
        }
        let granted = granted(&self.store, user, namespace);
        let (mut resources, mut paths) = (Vec::new(), Vec::new());
        for rule in granted.rules() {
            if !rule.resources.is_empty() {
                let mut shown = json!({"verbs": rule.verbs});
                for (field, list) in [
                    ("apiGroups", &rule.api_groups),
                    ("resources", &rule.resources),
                    ("resourceNames", &rule.resource_names),
                ] {
                    if !list.is_empty() {
                        shown[field] = json!(list);
                    }
                }
                resources.push(shown);
            }
            if !rule.non_resource_urls.is_empty() {
                paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
            }
        }
        let mut status = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
        let problem = granted.problem(None);
        if !problem.is_empty() {
            status["evaluationError"] = json!(problem);
        }
        Ok(json!({
            "kind": value["kind"], "apiVersion": value["apiVersion"], "metadata": {}, "spec": {}, "status": status,
        }))
    }

    fn token_review(&self, value: &mut Value) -> Result<(), Failure> {
        let token = value.pointer("/spec/token").and_then(Value::as_str).unwrap_or_default();
        if token.is_empty() {
            return Err(Failure::bad_request(
                "token is required for TokenReview in authentication",
            ));
        }
        let mut audiences = texts(&value["spec"]["audiences"]);
        if audiences.is_empty() {
            audiences.push(ISSUER.to_owned());
        }
        value["status"] = match self.tokens.user(token, &audiences, &self.store, self.clock.now()) {
            Ok(Some((user, audiences))) => {
                json!({"authenticated": true, "user": user_info(&user), "audiences": audiences})
            }
            Ok(None) => json!({"user": {}, "error": "invalid bearer token"}),
            Err(why) => json!({"user": {}, "error": format!("[invalid bearer token, {why}]")}),
        };
        Ok(())
    }

    /// POST of `serviceaccounts/NAME/token`.
    pub(in crate::apiserver) fn request_token(&self, call: &Call, body: Decoded) -> Result<Answer, Failure> {
        let (mut value, warnings) = self.subresource_body(call, "TokenRequest", body)?;
        let invalid =
            |name: &str, errors: &[FieldError]| Failure::invalid(AUTHENTICATION, "TokenRequest", name, errors);
        let given = meta::text(&value, "name");
        if !given.is_empty() && given != call.name {
            let what = "must match the service account name if specified";
            return Err(invalid(
                &call.name,
                &[FieldError::invalid("metadata.name", &json!(given), what)],
            ));
        }
        let account = self.store.get(&call.key()).ok_or_else(|| call.missing())?;
        let uid = meta::text(&account.value, "uid").to_owned();
        let wanted = meta::text(&value, "uid");
        if !wanted.is_empty() && wanted != uid {
            let why = format!(
                "the UID in the token request ({wanted}) does not match the UID of the service account ({uid})"
            );
            return Err(Failure::conflict(AUTHENTICATION, "TokenRequest", &call.name, &why));
        }
        let now = self.clock.now();
        for (field, text) in [("name", &call.name), ("namespace", &call.namespace), ("uid", &uid)] {
            value["metadata"][field] = json!(text);
        }
        value["metadata"]["creationTimestamp"] = json!(seconds(now));
        let life = value["spec"]["expirationSeconds"].as_i64().unwrap_or(0);
        let problem = match life {
            ..MIN_SECONDS => "may not specify a duration less than 10 minutes",
            MIN_SECONDS..=MAX_SECONDS => "",
            _ => "may not specify a duration larger than 2^32 seconds",
        };
        if !problem.is_empty() {
            let error = FieldError::invalid("spec.expirationSeconds", &json!(life), problem);
            return Err(invalid("", &[error]));
        }
        let mut audiences = texts(&value["spec"]["audiences"]);
        if audiences.is_empty() {
            audiences.push(ISSUER.to_owned());
            value["spec"]["audiences"] = json!(audiences);
        }
        let mut bound = Bound {
            namespace: call.namespace.clone(),
            serviceaccount: Reference {
                name: call.name.clone(),
                uid,
            },
            ..Bound::default()
        };
        self.bind_token(&mut bound, &value["spec"]["boundObjectRef"])?;
        let claims = Claims::new(bound, self.chance.uid(), now, life, audiences);
        let token = self.tokens.sign(&claims);
        let token = token.ok_or_else(|| Failure::internal("failed to generate token: no randomness"))?;
        let end = now.checked_add(jiff::SignedDuration::from_secs(life)).unwrap_or(now);
        value["status"] = json!({"token": token, "expirationTimestamp": seconds(end)});
        Ok((value, warnings))
    }

    /// Binds a token to the pod or Secret that its request names.
    fn bind_token(&self, bound: &mut Bound, reference: &Value) -> Result<(), Failure> {
        if !reference.is_object() {
            return Ok(());
        }
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        let plural = match (text("apiVersion"), text("kind")) {
            ("v1" | "", "Pod") => "pods",
            ("v1" | "", "Secret") => "secrets",
            (version, kind) => {
                let slash = if version.contains('/') { "" } else { "/" };
                let what = format!("cannot bind token to object of type {slash}{version}, Kind={kind}");
                return Err(Failure::bad_request(what));
            }
        };
        let key = Key {
            resource: plural.into(),
            namespace: bound.namespace.clone(),
            name: text("name").to_owned(),
        };
        let object = self.store.get(&key);
        let object = object.ok_or_else(|| Failure::not_found("", plural, text("name")))?;
        let runs_as = object.value.pointer("/spec/serviceAccountName").and_then(Value::as_str);
        if plural == "pods" && runs_as != Some(&bound.serviceaccount.name) {
            return Err(Failure::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                bound.serviceaccount.name
            )));
        }
        let uid = meta::text(&object.value, "uid");
        if !text("uid").is_empty() && text("uid") != uid {
            let why = format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
                text("uid")
            );
            return Err(Failure::conflict("", text("kind"), text("name"), &why));
        }
        let reference = Reference {
            name: key.name,
            uid: uid.to_owned(),
        };
        if plural == "pods" {
            bound.pod = Some(reference);
        } else {
            bound.secret = Some(reference);
        }
        Ok(())
    }
}

fn answer(call: &Call) -> Value {
    json!({"kind": call.resource.kind, "apiVersion": call.resource.api_version()})
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The user that an access review asks about.
fn user_of(spec: &Value) -> User {
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
    let extra = spec["extra"].as_object().into_iter().flatten();
    User {
        name: text("user"),
        uid: text("uid"),
        groups: texts(&spec["groups"]),
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    }
}

fn user_info(user: &User) -> Value {
    let mut out = json!({"username": user.name});
    if !user.uid.is_empty() {
        out["uid"] = json!(user.uid);
    }
    if !user.groups.is_empty() {
        out["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        out["extra"] = json!(user.extra);
    }
    out
}

/// What an access review must be. `about_others`: it names its subject; `local`: it asks about this namespace only.
fn check_access(value: &Value, about_others: bool, local: Option<&str>) -> Result<(), Failure> {
    let spec = &value["spec"];
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    // Shown under the names that the fields have inside the real server.
    let shown_path = json!({"Path": path["path"], "Verb": path["verb"]});
    let mut errors = Vec::new();
    let mut refuse = |field: &str, value: &Value, what: &str| errors.push(FieldError::invalid(field, value, what));
    match (resource.is_null(), path.is_null()) {
        (false, false) => {
            let what = "cannot be specified in combination with resourceAttributes";
            refuse("spec.nonResourceAttributes", &shown_path, what);
        }
        (true, true) => {
            let what = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            refuse("spec.resourceAttributes", &Value::Null, what);
        }
        _ => {}
    }
    if about_others && spec["user"].as_str().unwrap_or_default().is_empty() && texts(&spec["groups"]).is_empty() {
        refuse(
            "spec.user",
            &json!(""),
            "at least one of user or group must be specified",
        );
    }
    let known: &[&str] = match local {
        Some(_) => &["managedFields", "namespace"],
        None => &["managedFields"],
    };
    let metadata = value["metadata"].as_object().into_iter().flatten();
    if metadata.into_iter().any(|(field, _)| !known.contains(&field.as_str())) {
        let what = match local {
            Some(_) => "must be empty except for namespace",
            None => "must be empty",
        };
        refuse("metadata", &value["metadata"], what);
    }
    if let Some(namespace) = local {
        let asked = resource["namespace"].as_str().unwrap_or_default();
        if !resource.is_null() && asked != namespace {
            refuse(
                "spec.resourceAttributes.namespace",
                &json!(asked),
                "must match metadata.namespace",
            );
        }
        if !path.is_null() {
            refuse(
                "spec.nonResourceAttributes",
                &shown_path,
                "disallowed on this kind of request",
            );
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Failure::invalid(AUTHORIZATION, "", "", &errors))
    }
}
