//! Which objects of a kind in a namespace a list asks for.

use super::{ident::Uid, meta::Meta};

/// A choice of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// Those with all of these labels.
    Labels(Vec<(String, String)>),
    /// Those whose controller owner has this uid, and with these labels. The labels narrow what is asked of
    /// the server, which cannot select by owner.
    Owner {
        /// Uid of the owner.
        uid: Uid,
        /// Labels that they carry.
        labels: Vec<(String, String)>,
    },
    /// All of them.
    All,
}

impl Select {
    /// The labels that are asked for.
    pub fn labels(&self) -> &[(String, String)] {
        match self {
            Self::Labels(labels) | Self::Owner { labels, .. } => labels,
            Self::All => &[],
        }
    }

    /// As a label selector; `None` selects all.
    pub fn selector(&self) -> Option<String> {
        let labels: Vec<String> = self
            .labels()
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        (!labels.is_empty()).then(|| labels.join(","))
    }

    /// Whether an object is meant.
    pub fn matches(&self, meta: &Meta) -> bool {
        let owned = match self {
            Self::Owner { uid, .. } => meta.owner().is_some_and(|owner| owner.uid == *uid),
            _ => true,
        };
        owned && self.labels().iter().all(|(key, value)| meta.labels().has(key, value))
    }
}
