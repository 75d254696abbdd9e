//! Once a second: `/v1/status`, `/v1/clusters`, `/v1/cache` and `/metrics`. Only the newest answer counts,
//! so they go through a `watch`; a slow screen never makes a queue.

use std::{sync::Arc, time::Duration};

use neo4j_operator_shared::{metrics, status::Status};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    LinkReport, Sample,
    discover::Target,
    http::{FetchError, Http, base_url},
    prom::Scrape,
};

/// Time between two rounds.
pub const INTERVAL: Duration = Duration::from_secs(1);

const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// What neotop draws; asking for these alone keeps the scrape small.
const FAMILIES: &[&str] = &[
    metrics::RECONCILIATION_DURATION,
    metrics::RECONCILIATION_ERRORS,
    metrics::MEMORY_USAGE,
    metrics::CACHE_REQUESTS,
    metrics::CACHE_MISSES,
    metrics::QUEUE_OLDEST,
    metrics::WORKQUEUE_DEPTH,
    metrics::WORKQUEUE_ADDS,
    metrics::WORKQUEUE_RETRIES,
    metrics::WORKQUEUE_WORK_DURATION,
    metrics::WORKQUEUE_LONGEST_RUNNING,
    metrics::SKIPPED_RECONCILIATIONS,
    metrics::REST_CLIENT_REQUESTS,
];

/// Asks until the receiver is gone. `retry` ends a wait early.
pub async fn run(mut target: Target, reports: watch::Sender<LinkReport>, retry: Arc<Notify>) {
    let mut http = Http::new(target.token.clone());
    let mut tries = 0;
    let mut round = tokio::time::interval(INTERVAL);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        round.tick().await;
        match sample(&http, &target).await {
            Ok(sample) => {
                tries = 0;
                if reports.send(LinkReport::Up(Arc::new(sample))).is_err() {
                    return;
                }
            }
            Err(error) => {
                tries += 1;
                let wait = backoff(tries);
                let report = LinkReport::Failed {
                    reason: error.to_string(),
                    refused: matches!(error, FetchError::Refused(_)),
                    tries,
                    next: Instant::now() + wait,
                };
                if reports.send(report).is_err() {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = retry.notified() => {}
                    () = reports.closed() => return,
                }
                // A restarted daemon has a new token.
                if let Some(token) = target.reread_token()
                    && target.token.as_ref() != Some(&token)
                {
                    http = Http::new(Some(token.clone()));
                    target.token = Some(token);
                }
                round.reset_immediately();
            }
        }
    }
}

/// Doubles from a quarter of a second to 5 s, with a little spread from the count alone, so that several
/// dashboards do not ask in step.
fn backoff(tries: u32) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(1 << tries.saturating_sub(1).min(8));
    let spread = (std::process::id() % 16) * 8;
    doubled.min(LONGEST_BACKOFF) + Duration::from_millis(u64::from(spread))
}

/// One round of questions.
pub async fn sample(http: &Http, target: &Target) -> Result<Sample, FetchError> {
    let status: Status = http.json(&format!("{}/v1/status", target.url)).await?;
    let metrics_base = match &target.metrics_url {
        Some(url) => url.clone(),
        None => base_url(&format!("http://{}", status.listeners.metrics))?,
    };
    let metrics_base = metrics_base.trim_end_matches("/metrics");
    let names: Vec<_> = FAMILIES.iter().map(|name| format!("name[]={name}")).collect();
    let metrics_url = format!("{metrics_base}/metrics?{}", names.join("&"));
    let clusters_url = format!("{}/v1/clusters", target.url);
    let cache_url = format!("{}/v1/cache", target.url);
    let (text, clusters, cache) = tokio::try_join!(
        http.text(&metrics_url, "text/plain"),
        http.json(&clusters_url),
        http.json(&cache_url)
    )?;
    Ok(Sample {
        at: Instant::now(),
        scrape: Scrape::parse(&text),
        status,
        clusters,
        cache,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_five_seconds_and_no_further() {
        let spread = Duration::from_millis(130);
        assert!(backoff(1) < Duration::from_millis(250) + spread);
        assert!(backoff(2) >= Duration::from_millis(500));
        assert!(backoff(1_000) < LONGEST_BACKOFF + spread);
    }
}
