//! The API server.

pub mod schema;
pub mod smd;
pub mod strategic;
