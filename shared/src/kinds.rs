//! The kinds that the operator watches or writes, under the names of the control API and of metric labels.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A Kubernetes kind that the operator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the variants are the kinds' own names
pub enum Kind {
    Neo4jEnterpriseCluster,
    Neo4jDatabase,
    Neo4jBackup,
    StatefulSet,
    Service,
    ConfigMap,
    Secret,
    ServiceAccount,
    PodDisruptionBudget,
    PersistentVolumeClaim,
    Pod,
    Job,
    CronJob,
    Event,
}

/// Names of one kind: plural, singular, short names, kind.
struct Names(Kind, &'static str, &'static str, &'static [&'static str], &'static str);

const NAMES: [Names; 14] = [
    Names(
        Kind::Neo4jEnterpriseCluster,
        "neo4jenterpriseclusters",
        "neo4jenterprisecluster",
        &["n4jc", "n4jcluster", "cluster"],
        "Neo4jEnterpriseCluster",
    ),
    Names(
        Kind::Neo4jDatabase,
        "neo4jdatabases",
        "neo4jdatabase",
        &["n4jdb", "database"],
        "Neo4jDatabase",
    ),
    Names(
        Kind::Neo4jBackup,
        "neo4jbackups",
        "neo4jbackup",
        &["n4jbackup", "backup"],
        "Neo4jBackup",
    ),
    Names(
        Kind::StatefulSet,
        "statefulsets",
        "statefulset",
        &["sts"],
        "StatefulSet",
    ),
    Names(Kind::Service, "services", "service", &["svc"], "Service"),
    Names(Kind::ConfigMap, "configmaps", "configmap", &["cm"], "ConfigMap"),
    Names(Kind::Secret, "secrets", "secret", &[], "Secret"),
    Names(
        Kind::ServiceAccount,
        "serviceaccounts",
        "serviceaccount",
        &["sa"],
        "ServiceAccount",
    ),
    Names(
        Kind::PodDisruptionBudget,
        "poddisruptionbudgets",
        "poddisruptionbudget",
        &["pdb"],
        "PodDisruptionBudget",
    ),
    Names(
        Kind::PersistentVolumeClaim,
        "persistentvolumeclaims",
        "persistentvolumeclaim",
        &["pvc"],
        "PersistentVolumeClaim",
    ),
    Names(Kind::Pod, "pods", "pod", &["po"], "Pod"),
    Names(Kind::Job, "jobs", "job", &[], "Job"),
    Names(Kind::CronJob, "cronjobs", "cronjob", &["cj"], "CronJob"),
    Names(Kind::Event, "events", "event", &["ev"], "Event"),
];

impl Kind {
    /// Every kind, custom resources first.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|names| names.0)
    }

    /// The three custom resources, whose watches are the primary triggers.
    pub const PRIMARY: [Self; 3] = [Self::Neo4jEnterpriseCluster, Self::Neo4jDatabase, Self::Neo4jBackup];

    fn names(self) -> &'static Names {
        // `NAMES` is in the order of the enum; a test holds it there.
        &NAMES[self as usize]
    }

    /// Lower-case plural: the name in paths, metric labels and the control API.
    pub fn plural(self) -> &'static str {
        self.names().1
    }

    /// `CamelCase` kind as in a manifest.
    pub fn kind(self) -> &'static str {
        self.names().4
    }
}

/// A name that is none of [`Kind::all`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKind(String);

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown kind {:?}; known are ", self.0)?;
        for (index, names) in NAMES.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, names.1)?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownKind {}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plural())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Plural, singular and short names are taken, without regard to case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.to_ascii_lowercase();
        NAMES
            .iter()
            .find(|names| names.1 == name || names.2 == name || names.3.contains(&name.as_str()))
            .map(|names| names.0)
            .ok_or_else(|| UnknownKind(text.chars().take(64).collect()))
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.plural())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_kind() {
        for (index, names) in NAMES.iter().enumerate() {
            assert_eq!(names.0 as usize, index, "order of the table and of the enum");
            for text in [names.1, names.2, names.4].into_iter().chain(names.3.iter().copied()) {
                assert_eq!(text.parse(), Ok(names.0), "{text}");
            }
        }
    }

    #[test]
    fn an_unknown_kind_is_refused_with_the_list() {
        let error = "widgets".parse::<Kind>().expect_err("no kind");
        assert!(error.to_string().contains("statefulsets"), "{error}");
    }
}
