//! Which objects of a kind a watch delivers.

use std::{collections::BTreeMap, str::FromStr};

use neo4j_operator_shared::Kind;

use super::{meta::Meta, select::Select, triggers::CLUSTER_LABEL};
use crate::reconcile::MANAGER;

/// Labels that an object has to have, as `--cache-selector` gives them: `key=value` or `key`, comma-separated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(BTreeMap<String, Option<String>>);

/// Why a text is no selector that a store can judge by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no label selector of the form key=value or key, comma-separated")]
pub struct SelectorError(String);

/// The choice of a watch: one label that the kind's objects carry, and those asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// Key, and the value unless any will do.
    own: (&'static str, Option<&'static str>),
    asked: Selector,
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let fault = || SelectorError(text.chars().take(64).collect());
        let word = |text: &str, empty: bool| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
            let fits = text.len() <= 253 && text.bytes().all(inner) && (empty || !text.is_empty());
            fits.then(|| text.to_owned()).ok_or_else(fault)
        };
        let mut labels = BTreeMap::new();
        for part in text.split(',').map(str::trim) {
            let (key, value) = match part.split_once('=') {
                Some((key, value)) => (key, Some(word(value.strip_prefix('=').unwrap_or(value), true)?)),
                None => (part, None),
            };
            if labels.insert(word(key, false)?, value).is_some() {
                return Err(fault());
            }
        }
        Ok(Self(labels))
    }
}

impl Filter {
    /// The filter of a kind; none for custom resources. Pods and claims are made from templates by others; what
    /// we write carries our name.
    pub(super) fn of(kind: Kind) -> Option<Self> {
        let own = match kind {
            kind if Kind::PRIMARY.contains(&kind) => return None,
            Kind::Pod | Kind::PersistentVolumeClaim => (CLUSTER_LABEL, None),
            _ => ("app.kubernetes.io/managed-by", Some(MANAGER)),
        };
        Some(Self {
            own,
            asked: Selector::default(),
        })
    }

    /// The same, narrowed.
    pub(super) fn narrowed(self, asked: Option<&Selector>) -> Self {
        Self {
            asked: asked.cloned().unwrap_or_default(),
            ..self
        }
    }

    fn labels(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let asked = self.asked.0.iter();
        std::iter::once(self.own).chain(asked.map(|(key, value)| (key.as_str(), value.as_deref())))
    }

    /// As a label selector.
    pub(super) fn selector(&self) -> String {
        let labels: Vec<String> = self
            .labels()
            .map(|(key, value)| value.map_or_else(|| key.to_owned(), |value| format!("{key}={value}")))
            .collect();
        labels.join(",")
    }

    /// Whether the watch delivers an object.
    pub(super) fn matches(&self, meta: &Meta) -> bool {
        self.labels().all(|(key, value)| {
            let found = meta.labels().get(key);
            found.is_some() && (value.is_none() || found == value)
        })
    }

    /// Whether everything that is asked for is among what the watch delivers. What has one of our resources
    /// as its owner was written by us, and carries our label; if somebody took the label away, creating it
    /// anew finds it.
    pub(super) fn covers(&self, select: &Select) -> bool {
        let asks = |key: &str, value: Option<&str>| {
            let mut labels = select.labels().iter();
            labels.any(|(asked, wanted)| asked == key && value.is_none_or(|value| value == wanted))
        };
        let owned = matches!(select, Select::Owner { .. });
        (owned || asks(self.own.0, self.own.1)) && self.asked.0.iter().all(|(key, value)| asks(key, value.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meta(labels: &serde_json::Value) -> Meta {
        serde_json::from_value(json!({"name": "a", "labels": labels})).unwrap()
    }

    #[test]
    fn a_narrowed_filter_asks_for_both_and_covers_only_what_asks_for_both() {
        let asked: Selector = "team=a, tier".parse().unwrap();
        let filter = Filter::of(Kind::Pod).unwrap().narrowed(Some(&asked));
        assert_eq!(filter.selector(), "neo4j.com/cluster,team=a,tier");
        assert!(filter.matches(&meta(&json!({"neo4j.com/cluster": "c", "team": "a", "tier": ""}))));
        assert!(!filter.matches(&meta(&json!({"neo4j.com/cluster": "c", "team": "b", "tier": ""}))));
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let cluster = label("neo4j.com/cluster", "c");
        assert!(!filter.covers(&Select::Labels(vec![cluster.clone()])));
        assert!(filter.covers(&Select::Labels(vec![cluster, label("team", "a"), label("tier", "x")])));
    }

    #[test]
    fn what_a_store_cannot_judge_by_is_refused() {
        for text in ["", "a=b,,c", "a!=b", "a in (b)", "=b", "a=b,a=c", "a b"] {
            let error = text.parse::<Selector>().unwrap_err().to_string();
            assert!(error.contains("key=value"), "{text:?}: {error}");
        }
        assert_eq!("a==b".parse::<Selector>(), "a=b".parse());
    }
}
