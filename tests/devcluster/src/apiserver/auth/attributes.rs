//! What a request wants to do, in the words that roles use.

use http::Method;
use serde_json::json;

use super::{
    super::{http::request, status::Failure},
    User,
};

/// A verb and what it is about: a resource, or a path that is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::apiserver) struct Attributes {
    /// `get`, `list`, …; the HTTP method in lower case for a path.
    pub(in crate::apiserver) verb: String,
    /// The path, where it names no resource: then everything below is empty.
    pub(in crate::apiserver) path: Option<String>,
    pub(in crate::apiserver) group: String,
    /// The plural name; it need not exist.
    pub(in crate::apiserver) resource: String,
    pub(in crate::apiserver) subresource: String,
    /// Of a namespace itself: its own name.
    pub(in crate::apiserver) namespace: String,
    pub(in crate::apiserver) name: String,
}

impl Attributes {
    /// What a request with this method, path and query wants.
    pub(in crate::apiserver) fn of(method: &Method, path: &str, query: &str) -> Self {
        Self::resource(method, path, query).unwrap_or_else(|| Self {
            verb: method.as_str().to_lowercase(),
            path: Some(request::percent_decode(path).unwrap_or_else(|| path.to_owned())),
            ..Self::default()
        })
    }

    fn resource(method: &Method, path: &str, query: &str) -> Option<Self> {
        let steps: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(request::percent_decode)
            .collect::<Option<_>>()?;
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let (group, steps) = match steps.as_slice() {
            ["api", _, rest @ ..] if !rest.is_empty() => ("", rest),
            ["apis", group, _, rest @ ..] if !rest.is_empty() => (*group, rest),
            _ => return None,
        };
        let (namespace, steps) = match steps {
            ["namespaces", namespace, "status" | "finalize", ..] => (*namespace, steps),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            ["namespaces", namespace] => (*namespace, steps),
            _ => ("", steps),
        };
        let step = |n: usize| steps.get(n).copied().unwrap_or_default().to_owned();
        let mut out = Self {
            verb: String::new(),
            path: None,
            group: group.to_owned(),
            resource: step(0),
            subresource: step(2),
            namespace: namespace.to_owned(),
            name: step(1),
        };
        let verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::GET | Method::HEAD if out.name.is_empty() => {
                let params = request::Params::parse(query).unwrap_or_default();
                out.name = selected_name(params.text("fieldSelector"));
                if params.flag("watch") { "watch" } else { "list" }
            }
            Method::GET | Method::HEAD => "get",
            Method::DELETE if out.name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            _ => "",
        };
        verb.clone_into(&mut out.verb);
        Some(out)
    }

    /// The refusal, in the words of the API.
    pub(in crate::apiserver) fn forbidden(&self, user: &User, reason: &str) -> Failure {
        let (user, verb) = (&user.name, &self.verb);
        let what = if let Some(path) = &self.path {
            format!("User {user:?} cannot {verb} path {path:?}")
        } else {
            let resource = match self.subresource.as_str() {
                "" => self.resource.clone(),
                below => format!("{}/{below}", self.resource),
            };
            let place = match self.namespace.as_str() {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {namespace:?}"),
            };
            format!(
                "User {user:?} cannot {verb} resource {resource:?} in API group {:?} {place}",
                self.group
            )
        };
        let what = what.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let why = if reason.is_empty() {
            what
        } else {
            format!("{what}: {reason}")
        };
        Failure::denied(&self.group, &self.resource, &self.name, &why)
    }

    /// As reviews write it.
    pub(super) fn from_review(spec: &serde_json::Value) -> Self {
        let text = |of: &serde_json::Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
        let of = &spec["nonResourceAttributes"];
        if of.is_object() {
            return Self {
                verb: text(of, "verb"),
                path: Some(text(of, "path")),
                ..Self::default()
            };
        }
        let of = spec.get("resourceAttributes").cloned().unwrap_or_else(|| json!({}));
        Self {
            verb: text(&of, "verb"),
            path: None,
            group: text(&of, "group"),
            resource: text(&of, "resource"),
            subresource: text(&of, "subresource"),
            namespace: text(&of, "namespace"),
            name: text(&of, "name"),
        }
    }
}

/// The one name that a field selector lets through, if it is a name.
fn selected_name(selector: &str) -> String {
    let name = selector.split(',').find_map(|term| {
        let (field, value) = term.split_once('=')?;
        (field == "metadata.name").then(|| value.trim_start_matches('='))
    });
    name.filter(|name| !matches!(*name, "." | "..") && !name.contains(['/', '%']))
        .unwrap_or_default()
        .to_owned()
}
