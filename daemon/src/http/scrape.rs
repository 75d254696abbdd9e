//! `GET /metrics`, with the filter `?name[]=`.

use axum::{
    extract::{RawQuery, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use neo4j_operator_shared::metrics;

use super::{derived, exposition::Exposition, facts::Facts, facts::SharedFacts};

/// The seed's families: their name, type and help are written even while they have no sample.
const SEED: [(&str, &str, &str); 6] = [
    (
        metrics::RECONCILIATION_DURATION,
        "histogram",
        "Seconds per reconcile, without those that the fast path skipped.",
    ),
    (
        metrics::RECONCILIATION_ERRORS,
        "counter",
        "Reconciles that ended with an error, by its category.",
    ),
    (
        metrics::CACHE_HIT_RATE,
        "gauge",
        "Hits divided by cacheable reads over five minutes; absent without such reads.",
    ),
    (
        metrics::MEMORY_USAGE,
        "gauge",
        "Bytes by component; components overlap and must not be summed.",
    ),
    (metrics::SCALING_EVENTS, "counter", "Scalings that were applied."),
    (
        metrics::SCALING_DECISION_DURATION,
        "histogram",
        "Seconds to collect and decide.",
    ),
];

/// Answers a scrape.
pub async fn metrics(State(facts): State<SharedFacts>, RawQuery(query): RawQuery) -> Response {
    let text = render(facts.as_ref(), names(query.as_deref().unwrap_or_default()));
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response()
}

/// The families asked for; none means all. Names need no decoding: they are letters, digits and `_`.
fn names(query: &str) -> Vec<String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| matches!(*key, "name[]" | "name%5B%5D" | "name%5b%5d"))
        .map(|(_, name)| name.to_owned())
        .collect()
}

fn render(facts: &dyn Facts, wanted: Vec<String>) -> String {
    let clusters = facts.clusters();
    let resources = facts.resources();
    let telemetry = facts.telemetry();
    let in_namespace = |text: &str, namespace: &str| text.split('/').next() == Some(namespace);
    telemetry.forget_namespaces(|namespace| {
        clusters.iter().any(|cluster| cluster.namespace == namespace)
            || resources
                .iter()
                .any(|resource| in_namespace(&resource.cluster, namespace))
    });
    let mut missing = Exposition::of(wanted.clone());
    let mut out = Exposition::of(wanted);
    let families: Vec<_> = telemetry
        .registry
        .gather()
        .into_iter()
        .filter(|family| out.wants(family.name()))
        .collect();
    match prometheus::TextEncoder::new().encode_to_string(&families) {
        Ok(text) => out.append(&text),
        Err(error) => tracing::error!(%error, "metrics cannot be encoded"),
    }
    derived::write(&mut out, facts);
    let text = out.finish();
    for (name, kind, help) in SEED {
        if !text.contains(&format!("# TYPE {name} ")) {
            missing.header(name, kind, help);
        }
    }
    text + &missing.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_takes_its_name_in_both_spellings() {
        assert_eq!(names("name[]=a&name%5B%5D=b&other=c&name[]"), ["a", "b"]);
        assert!(names("").is_empty());
    }
}
