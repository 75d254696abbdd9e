//! The two open listeners: `/metrics`, and `/healthz` with `/readyz`; and how any listener is opened and
//! closed. The control API is in [`crate::control`].
//!
//! Nothing here decides anything. [`facts::Facts`] is what the operator knows, asked for at each request, so
//! that no answer is a copy that could have grown old.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod derived;
mod exposition;
pub mod facts;
mod scrape;

use facts::SharedFacts;

/// How long open connections may take to end once the daemon stops.
const DRAIN: Duration = Duration::from_secs(2);

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {what}: {source}; choose another address with {flag}")]
pub struct ListenError {
    what: &'static str,
    flag: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// Opens a listener.
pub async fn listen(what: &'static str, flag: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError {
        what,
        flag,
        address,
        source,
    })
}

/// Serves until `stop`; connections that do not end by themselves soon after are cut.
pub fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> impl Future<Output = ()> + Send {
    let stopped = stop.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move { stopped.cancelled().await });
    async move {
        tokio::select! {
            ended = async { server.await } => if let Err(error) = ended {
                tracing::error!(%error, "a listener ended");
            },
            () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => {}
        }
    }
}

/// `/metrics`.
pub fn metrics(facts: SharedFacts) -> Router {
    Router::new().route("/metrics", get(scrape::metrics)).with_state(facts)
}

/// `/healthz` and `/readyz`, without content.
pub fn health(facts: SharedFacts) -> Router {
    Router::new()
        .route("/healthz", get(|| async { StatusCode::OK }))
        .route("/readyz", get(readyz))
        .with_state(facts)
}

async fn readyz(State(facts): State<SharedFacts>) -> StatusCode {
    if facts.ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
