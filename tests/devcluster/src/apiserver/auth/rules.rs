//! Rules of roles: what one allows, and whether one set of rules covers another.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{attributes::Attributes, quoted};

const ALL: &str = "*";

/// A rule of a Role or ClusterRole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::apiserver) struct Rule {
    pub(in crate::apiserver) verbs: Vec<String>,
    pub(in crate::apiserver) api_groups: Vec<String>,
    /// `pods`, `pods/status`, `*`, `*/scale`.
    pub(in crate::apiserver) resources: Vec<String>,
    /// Empty: all.
    pub(in crate::apiserver) resource_names: Vec<String>,
    /// A `*` at the end stands for anything.
    #[serde(rename = "nonResourceURLs")]
    pub(in crate::apiserver) non_resource_urls: Vec<String>,
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == wanted)
}

fn has_or_all(list: &[String], wanted: &str) -> bool {
    has(list, ALL) || has(list, wanted)
}

/// Whether a path, or a pattern of paths, is within another.
fn within(pattern: &str, path: &str) -> bool {
    pattern == path || (pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*')))
}

impl Rule {
    /// The rules of a role; what is no rule is none.
    pub(in crate::apiserver) fn of_role(role: &Value) -> Vec<Self> {
        let rules = role["rules"].as_array().into_iter().flatten();
        rules.filter_map(|rule| Self::deserialize(rule).ok()).collect()
    }

    /// Whether the rule alone allows this.
    pub(in crate::apiserver) fn allows(&self, wanted: &Attributes) -> bool {
        if !has_or_all(&self.verbs, &wanted.verb) {
            return false;
        }
        if let Some(path) = &wanted.path {
            return self.non_resource_urls.iter().any(|url| within(url, path));
        }
        let resource = match wanted.subresource.as_str() {
            "" => has_or_all(&self.resources, &wanted.resource),
            below => {
                has_or_all(&self.resources, &format!("{}/{below}", wanted.resource))
                    || has(&self.resources, &format!("*/{below}"))
            }
        };
        resource
            && has_or_all(&self.api_groups, &wanted.group)
            && (self.resource_names.is_empty() || has(&self.resource_names, &wanted.name))
    }

    /// The same as rules of one verb, one group, one resource and at most one name each.
    fn atoms(&self) -> Vec<Self> {
        let one = |text: &String| vec![text.clone()];
        let mut out = Vec::new();
        for (group, resource) in self
            .api_groups
            .iter()
            .flat_map(|g| self.resources.iter().map(move |r| (g, r)))
        {
            for verb in &self.verbs {
                let atom = Self {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    ..Self::default()
                };
                if self.resource_names.is_empty() {
                    out.push(atom.clone());
                }
                out.extend(self.resource_names.iter().map(|name| Self {
                    resource_names: one(name),
                    ..atom.clone()
                }));
            }
        }
        for url in &self.non_resource_urls {
            out.extend(self.verbs.iter().map(|verb| Self {
                verbs: one(verb),
                non_resource_urls: one(url),
                ..Self::default()
            }));
        }
        out
    }

    /// Whether the rule alone allows everything that an atom does.
    fn covers(&self, atom: &Self) -> bool {
        let all = |have: &[String], want: &[String]| has(have, ALL) || want.iter().all(|item| has(have, item));
        let resources = all(&self.resources, &atom.resources)
            || atom.resources.iter().all(|resource| {
                let below = resource.split_once('/').map(|(_, below)| format!("*/{below}"));
                has(&self.resources, resource) || below.is_some_and(|below| has(&self.resources, &below))
            });
        let names = self.resource_names.is_empty()
            || (!atom.resource_names.is_empty() && atom.resource_names.iter().all(|n| has(&self.resource_names, n)));
        let urls = atom
            .non_resource_urls
            .iter()
            .all(|url| self.non_resource_urls.iter().any(|have| within(have, url)));
        all(&self.verbs, &atom.verbs) && all(&self.api_groups, &atom.api_groups) && resources && names && urls
    }

    /// `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`: only what is not empty.
    fn text(&self) -> String {
        let parts: Vec<String> = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}:{}", quoted(list)))
        .collect();
        format!("{{{}}}", parts.join(", "))
    }
}

/// What `wanted` allows and `held` does not, one line a resource; empty where nothing is missing.
pub(super) fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<String> {
    let mut verbs: BTreeMap<(String, String, Option<String>), Rule> = BTreeMap::new();
    let mut lines = BTreeSet::new();
    let atoms = wanted.iter().flat_map(Rule::atoms);
    for atom in atoms.filter(|atom| !held.iter().any(|rule| rule.covers(atom))) {
        match (atom.api_groups.first(), atom.resources.first()) {
            (Some(group), Some(resource)) => {
                let key = (group.clone(), resource.clone(), atom.resource_names.first().cloned());
                let line = verbs.entry(key).or_insert_with(|| Rule {
                    verbs: Vec::new(),
                    ..atom.clone()
                });
                line.verbs.extend(atom.verbs);
            }
            _ => drop(lines.insert(atom.text())),
        }
    }
    lines.extend(verbs.values().map(Rule::text));
    lines.into_iter().collect()
}
