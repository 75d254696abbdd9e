//! The way to the API server: connections that send at once and notice a dead peer.
//!
//! kube's own stack leaves Nagle's algorithm on. A write whose head and body leave as two segments then waits for the
//! server's delayed acknowledgement, some 40 ms on Linux, several times on the way from a new cluster to its
//! StatefulSet. Nor does it ask a silent connection whether it still exists, and a quiet watch may be silent for hours.
//! Everything else is as kube builds it: its TLS, its ways to log in, its headers.

use std::time::Duration;

use http::{Request, Response};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::{Builder, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Config,
    client::{Body, ClientBuilder, ConfigExt as _, DynBody},
};
use tower::{BoxError, ServiceBuilder, ServiceExt as _, util::BoxService};
use tower_http::{ServiceExt as _, decompression::DecompressionLayer};

/// A connection that has been silent for so long is asked whether it still exists, then again after each pause.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_PAUSE: Duration = Duration::from_secs(10);
/// So many questions without an answer end it.
const KEEPALIVE_TRIES: u32 = 3;

/// What sends requests, whatever it is made of.
pub type Transport = BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>;

/// A client to put layers around.
///
/// # Errors
/// If the configuration names files, certificates or headers that cannot be used, or a proxy, for which kube's own
/// stack would have to be built with that feature.
pub fn transport(mut config: Config) -> Result<ClientBuilder<Transport>, Box<kube::Error>> {
    // It hides up to fifteen attempts of any verb in one call (K30).
    config.default_retry = false;
    if config.proxy_url.is_some() {
        return ClientBuilder::try_from(config).map_err(Box::new);
    }
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(sockets())?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let gzip = DecompressionLayer::new().no_br().no_deflate().no_zstd();
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(gzip.gzip(!config.disable_compression))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(Builder::new(TokioExecutor::new()).build(connector));
    let service = service
        .map_response_body(|body| Box::new(http_body_util::BodyExt::map_err(body, BoxError::from)) as Box<DynBody>)
        .boxed();
    Ok(ClientBuilder::new(service, config.default_namespace))
}

/// Makes TCP connections.
fn sockets() -> HttpConnector {
    let mut sockets = HttpConnector::new();
    sockets.enforce_http(false);
    sockets.set_nodelay(true);
    sockets.set_keepalive(Some(KEEPALIVE));
    sockets.set_keepalive_interval(Some(KEEPALIVE_PAUSE));
    sockets.set_keepalive_retries(Some(KEEPALIVE_TRIES));
    sockets
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_sends_at_once_and_notices_a_dead_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stream = sockets().oneshot(address.parse().unwrap()).await.unwrap();
        let socket = rustix::net::sockopt::socket_keepalive(stream.inner()).unwrap();
        assert!(socket && stream.inner().nodelay().unwrap());
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_said() {
        let mut config = Config::new("https://127.0.0.1:1".parse().unwrap());
        config.proxy_url = Some("socks5://127.0.0.1:2".parse().unwrap());
        let refused = transport(config).err().unwrap().to_string();
        assert!(refused.contains("socks5"), "{refused}");
    }
}
