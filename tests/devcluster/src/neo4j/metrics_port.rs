//! A server's metrics port, as Neo4j Enterprise has one: `GET /metrics` on 2004, for as long as the process runs.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;

use super::{
    load,
    process::{Process, bind},
};

/// The metrics port of every server.
pub const METRICS_PORT: u16 = 2004;
/// Connections at once.
const MAX_CONNECTIONS: usize = 32;

/// Serves until the process ends.
pub async fn listen(process: Arc<Process>, ip: IpAddr) -> std::io::Result<()> {
    let listener = bind(ip, METRICS_PORT).await?;
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = process.ended() => return Ok(()),
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let process = Arc::clone(&process);
        let service = service_fn(move |request| answer(Arc::clone(&process), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(10))
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            // A client that leaves early is its own affair.
            let _ = connection.await;
        });
    }
}

async fn answer(process: Arc<Process>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    process.continues().await;
    let found = request.method() == Method::GET && ["/metrics", "/"].contains(&request.uri().path());
    let page = found.then(|| {
        process.cluster.with(|cluster, _| {
            let server = cluster.servers.get(&process.id);
            server.map(|server| load::page(cluster, server)).unwrap_or_default()
        })
    });
    let mut response = Response::new(Full::new(Bytes::from(page.unwrap_or_default())));
    if found {
        let text = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
