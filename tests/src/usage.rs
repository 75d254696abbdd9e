//! What requests say about rights: which they used, and which they lacked.

use std::{collections::BTreeSet, fmt};

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::controlplane::AuditRecord;

/// A verb on a resource, as a rule of a role grants it and a request uses it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// API group, empty for core.
    pub group: String,
    /// Plural of the kind; with its subresource behind a slash.
    pub resource: String,
    /// `get`, `list`, …
    pub verb: String,
}

impl Right {
    /// A right by its three words.
    pub fn new(group: &str, resource: &str, verb: &str) -> Self {
        Self {
            group: group.to_owned(),
            resource: resource.to_owned(),
            verb: verb.to_owned(),
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, resource, verb } = self;
        let dot = if group.is_empty() { "" } else { "." };
        write!(f, "{verb} {resource}{dot}{group}")
    }
}

/// Every right that rules grant, one by one.
pub fn granted(rules: &[PolicyRule]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                rights.extend(rule.verbs.iter().map(|verb| Right::new(group, resource, verb)));
            }
        }
    }
    rights
}

/// Every right that a user has made use of: requests for resources that were not refused for want of a right.
pub fn used(requests: &[AuditRecord], user: &str) -> BTreeSet<Right> {
    let theirs = requests
        .iter()
        .filter(|request| request.user == user && request.code != 403);
    theirs
        .filter(|request| !request.resource.is_empty())
        .map(right)
        .collect()
}

/// The requests of a user that were answered 403, each as its right and the object it was for.
pub fn refused(requests: &[AuditRecord], user: &str) -> Vec<String> {
    let theirs = requests.iter().filter(|request| request.user == user);
    theirs.filter(|request| request.code == 403).map(line).collect()
}

/// The requests of a user that write objects, each as its right and the object it was for. A review asks, though it is created.
pub fn written(requests: &[AuditRecord], user: &str) -> Vec<String> {
    let theirs = requests.iter().filter(|request| request.user == user);
    theirs
        .filter(|request| !matches!(request.verb.as_str(), "get" | "list" | "watch"))
        .filter(|request| !request.resource.is_empty() && !request.resource.ends_with("reviews"))
        .map(line)
        .collect()
}

fn line(request: &AuditRecord) -> String {
    format!("{} {}/{}", right(request), request.namespace, request.name)
}

fn right(request: &AuditRecord) -> Right {
    let mut resource = request.resource.clone();
    if !request.subresource.is_empty() {
        resource.push('/');
        resource.push_str(&request.subresource);
    }
    Right::new(&request.group, &resource, &request.verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(user: &str, verb: &str, resource: &str, subresource: &str, code: u16) -> AuditRecord {
        AuditRecord {
            user: user.to_owned(),
            verb: verb.to_owned(),
            group: String::new(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: "n".to_owned(),
            name: "a".to_owned(),
            uri: String::new(),
            code,
            received: String::new(),
            answered: String::new(),
        }
    }

    #[test]
    fn a_right_is_used_by_a_request_of_the_same_user_that_was_let_in() {
        let requests = [
            request("operator", "get", "pods", "", 404),
            request("operator", "patch", "pods", "status", 409),
            request("operator", "delete", "pods", "", 403),
            request("operator", "get", "", "", 200),
            request("admin", "create", "pods", "", 201),
        ];
        let used: Vec<_> = used(&requests, "operator").iter().map(Right::to_string).collect();
        assert_eq!(used, ["get pods", "patch pods/status"]);
        assert_eq!(refused(&requests, "operator"), ["delete pods n/a"]);
    }

    #[test]
    fn what_writes_is_told_from_what_asks() {
        let requests = [
            request("operator", "watch", "pods", "", 200),
            request("operator", "create", "selfsubjectaccessreviews", "", 201),
            request("operator", "patch", "pods", "", 200),
            request("operator", "deletecollection", "pods", "", 200),
            request("admin", "create", "pods", "", 201),
        ];
        assert_eq!(
            written(&requests, "operator"),
            ["patch pods n/a", "deletecollection pods n/a"]
        );
    }

    #[test]
    fn rules_are_taken_apart() {
        let rule = PolicyRule {
            api_groups: Some(vec!["apps".to_owned()]),
            resources: Some(vec!["statefulsets".to_owned(), "statefulsets/status".to_owned()]),
            verbs: vec!["get".to_owned(), "patch".to_owned()],
            ..PolicyRule::default()
        };
        let rights: Vec<_> = granted(&[rule]).iter().map(Right::to_string).collect();
        let expected = [
            "get statefulsets.apps",
            "patch statefulsets.apps",
            "get statefulsets/status.apps",
            "patch statefulsets/status.apps",
        ];
        assert_eq!(rights, expected);
    }
}
