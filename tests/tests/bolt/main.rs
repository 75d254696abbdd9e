//! One suite of Bolt for two servers: the fake, and a real Neo4j Community.
//!
//! ```sh
//! cargo test -p neo4j-operator-tests --test bolt                      # the fake, in both editions
//! NEO4J_SERVER=$(tests/neo4j/build.sh) TARGET=real \
//!     cargo test -p neo4j-operator-tests --test bolt                  # the real one
//! ```
//!
//! [`protocol`] and [`login`] speak in raw frames, because there the protocol is the promise; [`client`] uses the
//! operator's own driver and pool, because there they are, [`tls`] too; [`grammar`] sends every statement that the operator can
//! emit, and those that nobody may take. [`cluster`] and [`faults`] need what only the fake has.
//!
//! The fake is Enterprise unless told otherwise, and then answers as Community does. Where it differs by design:
//!
//! | what | real server | fake |
//! |---|---|---|
//! | Cypher beyond administration | all of it | `RETURN` of literals, `UNWIND … RETURN 1/i`, and a count that takes its time; else a syntax error, so that drift shows |
//! | `SHOW … YIELD … WHERE` | any expression | one comparison, as the operator writes it |
//! | administration in an explicit transaction | done, and undone by ROLLBACK | refused: an effect cannot be undone here |
//! | 5.x of Bolt, the manifest handshake | spoken | not spoken: the operator's driver does not either |
//! | bytes that are no Bolt | HTTP is answered with a page, the rest closed | closed |
//! | a RUN whose RESET is there already | ignored, not run | run if it was read first |
//! | procedures of a cluster on another database than `system` | (Community has none) | refused with `NotSystemDatabaseError` |
//! | `OPTIONS` of a server | any expression passes for grammar | only literals do, unless it is Community |
//! | texts of failures | with places in the statement, and more words | the words that the operator looks at; codes are the same |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod client;
mod cluster;
mod faults;
mod grammar;
mod login;
mod peer;
mod protocol;
mod raw;
mod tls;
