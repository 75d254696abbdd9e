//! What only one page shows is asked for only while that page is open: the forecasts of the strategies
//! every 5 s, because the daemon computes them, and the memory report every 2 s.

use std::{sync::Arc, time::Duration};

use neo4j_operator_shared::{Kind, memory::Memory, switch::Strategies};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

use super::{
    discover::Target,
    http::{FetchError, Http},
};

/// What is to be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ask {
    /// Nothing more than what every page shows.
    #[default]
    Nothing,
    /// `GET /v1/cache/strategies`: of a change of all kinds, or of this one alone.
    Strategies(Option<Kind>),
    /// `GET /v1/memory`.
    Memory,
}

/// How a question ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Fetched<T> {
    /// With an answer.
    Got(Arc<T>),
    /// The daemon does not know the path: it is of an older version.
    NotOffered,
    /// Without one; why.
    Failed(String),
}

/// An answer, and when it was complete by our clock.
#[derive(Clone, Debug, PartialEq)]
pub enum PageItem {
    /// Of [`Ask::Strategies`].
    Strategies(Instant, Fetched<Strategies>),
    /// Of [`Ask::Memory`].
    Memory(Instant, Fetched<Memory>),
}

impl Ask {
    /// Time between two questions.
    const fn interval(self) -> Duration {
        match self {
            Self::Strategies(_) => Duration::from_secs(5),
            Self::Nothing | Self::Memory => Duration::from_secs(2),
        }
    }

    /// How long the answer may be in coming: forecasts are computed when asked for.
    const fn deadline(self) -> Duration {
        match self {
            Self::Strategies(_) => Duration::from_secs(8),
            Self::Nothing | Self::Memory => Duration::from_secs(3),
        }
    }
}

/// Asks until the receiver is gone. A change of `wanted` gives up what is on its way; `again` ends a wait.
pub async fn run(target: Target, mut wanted: watch::Receiver<Ask>, items: mpsc::Sender<PageItem>, again: Arc<Notify>) {
    loop {
        let ask = *wanted.borrow_and_update();
        let round = async {
            let item = match ask {
                Ask::Nothing => std::future::pending().await,
                Ask::Strategies(kind) => {
                    let of = kind.map_or_else(String::new, |kind| format!("?kinds={}", kind.plural()));
                    let path = format!("/v1/cache/strategies{of}");
                    let fetched = fetch(&target, &path, ask.deadline()).await;
                    PageItem::Strategies(Instant::now(), fetched)
                }
                Ask::Memory => {
                    let fetched = fetch(&target, "/v1/memory", ask.deadline()).await;
                    PageItem::Memory(Instant::now(), fetched)
                }
            };
            if items.send(item).await.is_err() {
                return false;
            }
            tokio::select! {
                () = tokio::time::sleep(ask.interval()) => {}
                () = again.notified() => {}
            }
            true
        };
        let goes_on = tokio::select! {
            goes_on = round => goes_on,
            changed = wanted.changed() => changed.is_ok(),
        };
        if !goes_on {
            return;
        }
    }
}

/// One question. A connection of its own each time: they are rare, and the token may have changed.
pub async fn fetch<T: DeserializeOwned>(target: &Target, path: &str, deadline: Duration) -> Fetched<T> {
    let token = target.reread_token().or_else(|| target.token.clone());
    let url = format!("{}{path}", target.url);
    match Http::new(token).json_within(deadline, &url).await {
        Ok(answer) => Fetched::Got(Arc::new(answer)),
        Err(FetchError::Status(404, _)) => Fetched::NotOffered,
        Err(error) => Fetched::Failed(error.to_string()),
    }
}
