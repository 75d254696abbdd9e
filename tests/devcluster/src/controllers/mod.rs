//! What runs in a cluster besides the API server, as plain kube clients: workload controllers, volume binder, garbage collector, kubelet.
//!
//! Everything here uses the public API only, so it works against a real server as well.

pub mod runtime;
