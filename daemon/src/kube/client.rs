//! The client of the API server, built once (K30–K35).
//!
//! Our layer stands where each attempt on the wire passes, counts it, and limits how many are in flight.

use std::{sync::Arc, time::Duration};

use kube::{Client, Config};

use super::{layer::ApiLayer, transport::transport};

/// Limits of the client.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deadline of a get.
    pub get: Duration,
    /// Deadline of one page of a list.
    pub list: Duration,
    /// Deadline of a write.
    pub write: Duration,
    /// Requests in flight at a time; watches do not count.
    pub in_flight: usize,
    /// Attempts of a read within its deadline.
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            get: Duration::from_secs(10),
            list: Duration::from_secs(30),
            write: Duration::from_secs(15),
            in_flight: 32,
            attempts: 3,
        }
    }
}

/// One attempt on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiCall {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// Lower-case plural of a kind that the operator knows, else `other`.
    pub resource: &'static str,
    /// As `status`.
    pub subresource: Option<&'static str>,
    /// HTTP method.
    pub method: &'static str,
    /// Status code; absent where no answer came.
    pub code: Option<u16>,
    /// Until the head of the answer.
    pub seconds: f64,
}

/// Is told of every attempt.
pub trait ApiObserver: Send + Sync + 'static {
    /// One attempt ended.
    fn request(&self, call: &ApiCall);
}

/// Observes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl ApiObserver for Unobserved {
    fn request(&self, _: &ApiCall) {}
}

/// A client for the configured cluster.
pub fn connect(config: Config, limits: &Limits, observer: Arc<dyn ApiObserver>) -> Result<Client, Box<kube::Error>> {
    Ok(transport(config)?.with_layer(&ApiLayer::new(limits, observer)).build())
}
