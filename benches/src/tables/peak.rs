//! Memory after a peak: `full` is made to keep a gigabyte, then `none` lets it go.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use neo4j_operator_shared::Strategy;
use neo4j_operator_tests::controlplane::ControlPlane;
use serde_json::json;

use super::daemon::Maker;

/// Where they are.
const NAMESPACE: &str = "large";
/// Characters of one ConfigMap.
const CHARACTERS: usize = 100_000;
/// Of which this part is left when they are compressed: 64 different ones are six bits each.
const LEFT: f64 = 0.75;
/// Create calls in flight.
const IN_FLIGHT: usize = 8;
/// How long memory is watched after the change down, and how often it is looked at.
const WATCHED: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(250);

/// What was measured, in bytes.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Objects.
    pub objects: u32,
    /// Resident before, in `none`.
    pub before: u64,
    /// Resident in `full`.
    pub full: u64,
    /// The most that was ever resident.
    pub peak: u64,
    /// Resident so long after the change back to `none`.
    pub after: Vec<(Duration, u64)>,
}

/// Measures it.
///
/// # Errors
/// If the server refuses an object, or the operator a change.
pub async fn measure(plane: &ControlPlane, maker: &Maker, megabytes: u32) -> anyhow::Result<Figures> {
    let objects = (f64::from(megabytes) * 1e6 / (CHARACTERS as f64 * LEFT)).ceil() as u32;
    eprintln!("creating {objects} large ConfigMaps");
    create(&plane.client(), objects).await?;
    let mut daemon = maker.start(Strategy::None).await?;
    daemon.ready().await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = daemon.memory()?.resident;
    daemon.switch(Strategy::Full).await?;
    let full = daemon.memory()?.resident;
    daemon.switch(Strategy::None).await?;
    let began = Instant::now();
    let mut after = vec![(began.elapsed(), daemon.memory()?.resident)];
    while began.elapsed() < WATCHED {
        tokio::time::sleep(LOOK).await;
        after.push((began.elapsed(), daemon.memory()?.resident));
    }
    let peak = daemon.memory()?.peak;
    daemon.stop().await?;
    Ok(Figures {
        objects,
        before,
        full,
        peak,
        after,
    })
}

/// Text that compresses to six bits a character; every object has another piece of it.
fn text() -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let letters = (0..CHARACTERS * 20).map(|_| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[(state >> 32) as usize % LETTERS.len()])
    });
    letters.collect()
}

async fn create(client: &Client, objects: u32) -> anyhow::Result<()> {
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
    let params = PostParams::default();
    Api::all(client.clone()).create(&params, &namespace).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let text = text();
    let room = text.len() - CHARACTERS;
    stream::iter(0..objects)
        .map(|number| {
            let (maps, params) = (&maps, &params);
            let at = number as usize * 7_919 % room;
            let piece = text.get(at..at + CHARACTERS).unwrap_or_default().to_owned();
            async move {
                let map = ConfigMap {
                    metadata: ObjectMeta {
                        name: Some(format!("large-{number:06}")),
                        ..ObjectMeta::default()
                    },
                    data: Some(BTreeMap::from([("text".to_owned(), piece)])),
                    ..ConfigMap::default()
                };
                maps.create(params, &map).await.context("a large ConfigMap")?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
}
