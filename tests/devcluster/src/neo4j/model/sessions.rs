//! Who is connected and what runs: the tables of `listConnections` and `SHOW TRANSACTIONS`.
//!
//! The protocol tells of connections as they come and go; statements stand here for as long as they take.

use std::{collections::BTreeMap, time::Duration};

use super::{Cluster, SYSTEM, Server, show::row};
use crate::neo4j::{
    bolt::session::Run,
    value::{Value, ValueMap},
};

/// One connection of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Server that it is to.
    pub server: String,
    /// Where the client is.
    pub client: String,
    /// Who logged in; nobody yet.
    pub user: Option<String>,
    /// What the client calls itself.
    pub agent: String,
    /// Since when it is open.
    pub since: Duration,
}

/// One statement that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// Server that it runs at.
    pub server: String,
    /// The statement.
    pub run: Run,
    /// Since when.
    pub since: Duration,
}

/// Connections and statements of a cluster.
#[derive(Debug, Default)]
pub struct Sessions {
    /// Connections by server and id.
    connections: BTreeMap<(String, String), Connection>,
    transactions: BTreeMap<u64, Transaction>,
    next: u64,
}

impl Sessions {
    /// A client has connected.
    pub fn connected(&mut self, id: &str, connection: Connection) {
        self.connections
            .insert((connection.server.clone(), id.to_owned()), connection);
    }

    /// It has logged in.
    pub fn logged_in(&mut self, server: &str, id: &str, user: &str, agent: &str) {
        if let Some(connection) = self.connections.get_mut(&(server.to_owned(), id.to_owned())) {
            connection.user = Some(user.to_owned());
            agent.clone_into(&mut connection.agent);
        }
    }

    /// It has left.
    pub fn disconnected(&mut self, server: &str, id: &str) {
        self.connections.remove(&(server.to_owned(), id.to_owned()));
    }

    /// A statement begins; the number ends it.
    pub fn began(&mut self, transaction: Transaction) -> u64 {
        self.next += 1;
        self.transactions.insert(self.next, transaction);
        self.next
    }

    /// A statement has ended.
    pub fn ended(&mut self, number: u64) {
        self.transactions.remove(&number);
    }
}

impl Cluster {
    /// Connections to the asked server whose client has logged in.
    pub(super) fn connection_rows(&self, at: &str) -> Vec<ValueMap> {
        let address: Value = self.servers.get(at).map(Server::bolt_address).into();
        let connections = self.sessions.connections.iter();
        connections
            .filter(|((server, _), _)| server == at)
            .filter_map(|((_, id), connection)| {
                Some(row([
                    ("connectionId", id.as_str().into()),
                    ("connectTime", self.timestamp(connection.since).to_string().into()),
                    ("connector", "bolt".into()),
                    ("username", connection.user.as_deref()?.into()),
                    ("userAgent", connection.agent.as_str().into()),
                    ("serverAddress", address.clone()),
                    ("clientAddress", connection.client.as_str().into()),
                ]))
            })
            .collect()
    }

    /// The statement that asks, and those of the asked server that take time.
    pub(super) fn transaction_rows(&self, at: &str, run: &Run) -> Vec<ValueMap> {
        let asking = self.transaction_row(at, run, 0, self.now());
        let running = self.sessions.transactions.iter();
        let running = running
            .filter(|(_, transaction)| transaction.server == at)
            .map(|(number, transaction)| self.transaction_row(at, &transaction.run, *number, transaction.since));
        std::iter::once(asking).chain(running).collect()
    }

    fn transaction_row(&self, at: &str, run: &Run, number: u64, since: Duration) -> ValueMap {
        let connection = self.sessions.connections.get(&(at.to_owned(), run.connection.clone()));
        let database = run.database.as_deref().unwrap_or(SYSTEM);
        let lasted = self.now().saturating_sub(since);
        let lasted = [0, 0, lasted.as_secs() as i64, i64::from(lasted.subsec_nanos())];
        row([
            ("database", database.into()),
            ("transactionId", format!("{database}-transaction-{number}").into()),
            ("currentQueryId", format!("query-{number}").into()),
            ("connectionId", run.connection.as_str().into()),
            (
                "clientAddress",
                connection.map_or("", |connection| connection.client.as_str()).into(),
            ),
            ("username", run.user.as_str().into()),
            ("currentQuery", run.query.as_str().into()),
            ("startTime", self.timestamp(since).to_string().into()),
            ("status", "Running".into()),
            ("elapsedTime", Value::Struct(0x45, lasted.map(Value::Int).to_vec())),
            ("activeLockCount", Value::Int(0)),
            ("metaData", Value::Map(run.metadata.clone())),
        ])
    }
}
