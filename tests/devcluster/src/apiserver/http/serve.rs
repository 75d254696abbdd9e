//! The loopback front door: HTTP/1.1 over TLS on a listener, one task a connection, until told to stop.

use std::time::Duration;

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use super::{super::Server, Door};

/// How long open requests may go on after the shutdown began. Watches never end by themselves.
const GRACE: Duration = Duration::from_secs(1);
/// A client that does not finish its handshake, or the head of a request, in this time is cut off.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// More connections than this at a time are closed at once.
const MAX_CONNECTIONS: usize = 4_096;

pub(in crate::apiserver) async fn serve(server: Server, listener: TcpListener, shutdown: CancellationToken) {
    let Some(identity) = server.identity() else { return };
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or the peer is gone: neither is helped by trying again at once.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if connections.len() >= MAX_CONNECTIONS {
            tracing::warn!(limit = MAX_CONNECTIONS, "too many connections: one is turned away");
            continue;
        }
        let (door, acceptor) = (Door::guarded(server.clone()), identity.acceptor.clone());
        connections.spawn(converse(stream, acceptor, door, shutdown.clone()));
    }
    connections.close();
    connections.wait().await;
}

/// One connection, to its end.
async fn converse(stream: TcpStream, acceptor: TlsAcceptor, door: Door, shutdown: CancellationToken) {
    // Without it small answers wait for the peer's acknowledgement; with it failing they are only late.
    let _ = stream.set_nodelay(true);
    let stream = tokio::select! {
        () = shutdown.cancelled() => return,
        stream = tokio::time::timeout(HEAD_DEADLINE, acceptor.accept(stream)) => stream,
    };
    let Ok(Ok(stream)) = stream else {
        tracing::debug!("no TLS handshake");
        return;
    };
    let service = service_fn(move |request| door.clone().call(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
            return;
        }
        () = shutdown.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    if tokio::time::timeout(GRACE, connection).await.is_err() {
        tracing::debug!("a request did not end with the server");
    }
}
