//! What only the operator checks of a cluster's spec: versions, reserved settings and folders.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Neo4jEnterpriseClusterSpec as Spec;
use crate::{
    config_policy::{check_config, check_env},
    rules::Problem,
    version::{Version, VersionError},
};

/// Folders of the container that belong to Neo4j or to the operator.
const RESERVED_MOUNTS: [&str; 13] = [
    "/data",
    "/logs",
    "/conf",
    "/ssl",
    "/plugins",
    "/truststore",
    "/truststore-ca",
    "/var/lib/neo4j",
    "/var/lib/neo4j/data",
    "/var/lib/neo4j/logs",
    "/var/lib/neo4j/conf",
    "/var/lib/neo4j/plugins",
    "/var/lib/neo4j/certificates",
];

/// The problems that CEL does not find.
pub(super) fn reconciler(spec: &Spec) -> Vec<Problem> {
    let mut problems = words(spec);
    problems.extend(image(spec));
    let version = Version::from_tag(&spec.image.tag).ok();
    problems.extend(check_config("spec.config", &spec.config, version));
    problems.extend(check_env("spec.env", &spec.env, version));
    problems.extend(mounts(spec));
    problems.extend(disruption_budget(spec));
    problems
}

fn image(spec: &Spec) -> Option<Problem> {
    let community = |text: &str| text.to_ascii_lowercase().contains("community");
    if community(&spec.image.repo) || community(&spec.image.tag) {
        let field = if community(&spec.image.tag) {
            "spec.image.tag"
        } else {
            "spec.image.repo"
        };
        return Some(Problem::of_reconciler(
            field,
            "Neo4j Community cannot form a cluster; use an enterprise image",
        ));
    }
    let why = match Version::from_tag(&spec.image.tag) {
        Ok(_) => return None,
        Err(VersionError::NoVersion) => "must begin with a version, such as 5.26.0-enterprise or 2025.08.0-enterprise",
        Err(VersionError::Unsupported) => "must be 5.26.x or a calendar version from 2025.01 on",
    };
    Some(Problem::of_reconciler("spec.image.tag", why))
}

/// Words that the schema does not list; only an object stored under an older schema has one.
fn words(spec: &Spec) -> Vec<Problem> {
    let placement = spec.topology.placement.as_ref();
    let spread = placement.and_then(|placement| placement.topology_spread.as_ref());
    let apart = placement.and_then(|placement| placement.anti_affinity.as_ref());
    let mut found = Vec::new();
    macro_rules! check {
        ($field:literal, $word:expr) => {
            if let Some(word) = $word
                && !word.is_known()
            {
                let why = format!("must be one of {}", list(word));
                found.push(Problem::of_reconciler($field, why));
            }
        };
    }
    check!("spec.acceptLicenseAgreement", spec.accept_license_agreement.as_ref());
    check!("spec.image.pullPolicy", spec.image.pull_policy.as_ref());
    check!("spec.storage.retentionPolicy", spec.storage.retention_policy.as_ref());
    check!(
        "spec.topology.serverModeConstraint",
        spec.topology.server_mode_constraint.as_ref()
    );
    for role in &spec.topology.server_roles {
        check!("spec.topology.serverRoles", Some(&role.mode_constraint));
    }
    check!(
        "spec.topology.placement.topologySpread.whenUnsatisfiable",
        spread.and_then(|s| s.when_unsatisfiable.as_ref())
    );
    check!(
        "spec.topology.placement.antiAffinity.type",
        apart.and_then(|a| a.type_.as_ref())
    );
    check!("spec.tls.mode", spec.tls.as_ref().and_then(|tls| tls.mode.as_ref()));
    check!(
        "spec.service.type",
        spec.service.as_ref().and_then(|service| service.type_.as_ref())
    );
    found
}

/// The listed words of a field.
trait Listed {
    fn listed(&self) -> &'static [&'static str];
}

macro_rules! listed {
    ($($name:path),+ $(,)?) => {
        $(impl Listed for $name {
            fn listed(&self) -> &'static [&'static str] {
                <$name>::WORDS
            }
        })+
    };
}

listed!(
    super::LicenseAgreement,
    super::storage::PullPolicy,
    super::storage::RetentionPolicy,
    super::topology::ModeConstraint,
    super::topology::WhenUnsatisfiable,
    super::topology::AntiAffinityType,
    super::tls::TlsMode,
    super::service::ServiceType,
);

fn list(word: &impl Listed) -> String {
    word.listed().join(", ")
}

fn mounts(spec: &Spec) -> Vec<Problem> {
    let normal = |path: &str| {
        format!(
            "/{}",
            path.split('/').filter(|p| !p.is_empty()).collect::<Vec<_>>().join("/")
        )
    };
    spec.extra_volume_mounts
        .iter()
        .enumerate()
        .filter(|(_, mount)| RESERVED_MOUNTS.contains(&normal(&mount.mount_path).as_str()))
        .map(|(index, mount)| {
            Problem::of_reconciler(
                format!("spec.extraVolumeMounts[{index}].mountPath"),
                format!(
                    "{} belongs to Neo4j; mount the volume elsewhere",
                    normal(&mount.mount_path)
                ),
            )
        })
        .collect()
}

/// A budget that allows no disruption at all would stop every node drain for ever.
fn disruption_budget(spec: &Spec) -> Option<Problem> {
    let budget = spec.pod_disruption_budget.as_ref()?;
    if budget.enabled == Some(false) {
        return None;
    }
    let members = spec.topology.servers.or(spec.topology.primaries)? + spec.topology.secondaries.unwrap_or(0);
    let blocks = match budget.min_available.as_ref()? {
        IntOrString::Int(count) => *count < 0 || *count >= members,
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|number| number.parse::<u8>().ok());
            percent.is_none_or(|percent| percent >= 100)
        }
    };
    blocks.then(|| {
        Problem::of_reconciler(
            "spec.podDisruptionBudget.minAvailable",
            format!("must be a number below {members} or a percentage below 100%, else no node can be drained"),
        )
    })
}
