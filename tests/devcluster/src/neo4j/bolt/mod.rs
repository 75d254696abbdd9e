//! Bolt 4, the server's side: encoding, messages, the session's states, connections.
//!
//! Nothing here knows what a statement means: [`session::Session`] asks for logins and statements, [`connection`] lets a
//! [`connection::Backend`] answer.

pub mod connection;
pub mod message;
pub mod packstream;
pub mod session;
