//! The cluster: the objects that it consists of, how it forms, grows and reports.

pub mod desired;
pub mod names;
pub mod render;
