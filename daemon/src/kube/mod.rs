//! Talking to the API server: the client with its layers, the scope of namespaces, and watches that heal.

pub mod client;
mod layer;
pub mod scope;
#[cfg(test)]
pub(crate) mod testing;
pub mod transport;
pub mod watch;

pub use layer::ApiLayer;
