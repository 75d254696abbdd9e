//! The daemon's driver trait on the fake Neo4j without a socket (N14): for tests on paused time.
//!
//! What the daemon sees of a server is what it would see over Bolt, faults included; only bytes and TLS are missing. The host that the
//! daemon dials finds the server: pod IP or advertised name.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use neo4j_devcluster::neo4j::{self as fake, Call, CallError, FakeNeo4j, value::Value as FakeValue};
use neo4j_operator::neo4j::{
    BoltError, Credentials, Driver, Endpoint, ErrorKind, Row, Rows, Session, Statement, Value,
};

/// Opens sessions to modelled servers.
pub struct ModelDriver(pub Arc<FakeNeo4j>);

struct ModelSession {
    fake: Arc<FakeNeo4j>,
    host: Arc<str>,
    credentials: Credentials,
}

impl Driver for ModelDriver {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, BoltError>> {
        async move {
            // As a refused connection; the login comes with the first statement.
            if !self.0.serves(&endpoint.host) {
                return Err(BoltError::new(ErrorKind::Connect, "connection refused"));
            }
            Ok(Box::new(ModelSession {
                fake: Arc::clone(&self.0),
                host: Arc::clone(&endpoint.host),
                credentials: credentials.clone(),
            }) as Box<dyn Session>)
        }
        .boxed()
    }
}

impl Session for ModelSession {
    fn execute<'a>(
        &'a mut self,
        database: &'a str,
        statement: &'a Statement,
    ) -> BoxFuture<'a, Result<Rows, BoltError>> {
        let call = Call {
            server: self.host.to_string(),
            user: self.credentials.user.to_string(),
            password: self.credentials.password.expose().to_owned(),
            database: Some(database.to_owned()),
            statement: statement.text.to_string(),
            parameters: statement
                .params
                .iter()
                .map(|(name, value)| ((*name).to_owned(), sent(value)))
                .collect(),
            timeout: Some(statement.server_timeout()),
        };
        async move {
            match tokio::time::timeout(statement.budget, self.fake.execute(call)).await {
                Err(_) => Err(BoltError::new(ErrorKind::Timeout, "no answer in time").after_send()),
                Ok(Err(error)) => Err(failed(error)),
                Ok(Ok(rows)) => received(rows),
            }
        }
        .boxed()
    }
}

fn failed(error: CallError) -> BoltError {
    match error {
        CallError::Login(failure) => BoltError::from_login(&failure.message),
        CallError::Neo4j(failure) => BoltError::from_code(&failure.code, &failure.message),
        CallError::Lost(_) => BoltError::new(ErrorKind::Connect, "connection reset").after_send(),
        unreachable @ CallError::Unreachable(_) => BoltError::new(ErrorKind::Connect, unreachable.to_string()),
    }
}

fn sent(value: &Value) -> FakeValue {
    match value {
        Value::Null => FakeValue::Null,
        Value::Bool(flag) => FakeValue::Bool(*flag),
        Value::Int(number) => FakeValue::Int(*number),
        Value::Float(number) => FakeValue::Float(*number),
        Value::Text(text) => FakeValue::String(text.clone()),
        Value::List(items) => FakeValue::List(items.iter().map(sent).collect()),
        Value::Map(entries) => FakeValue::Map(entries.iter().map(|(key, value)| (key.clone(), sent(value))).collect()),
    }
}

fn received(rows: fake::Rows) -> Result<Rows, BoltError> {
    let mut all = Vec::with_capacity(rows.rows.len());
    for cells in rows.rows {
        let mut row = Vec::with_capacity(cells.len());
        for (column, cell) in rows.fields.iter().zip(cells) {
            row.push((column.clone(), value_of(cell, column)?));
        }
        all.push(Row(row));
    }
    Ok(Rows(all))
}

fn value_of(value: FakeValue, column: &str) -> Result<Value, BoltError> {
    Ok(match value {
        FakeValue::Null => Value::Null,
        FakeValue::Bool(flag) => Value::Bool(flag),
        FakeValue::Int(number) => Value::Int(number),
        FakeValue::Float(number) => Value::Float(number),
        FakeValue::String(text) => Value::Text(text),
        FakeValue::List(items) => {
            let items: Result<_, _> = items.into_iter().map(|item| value_of(item, column)).collect();
            Value::List(items?)
        }
        FakeValue::Map(entries) => {
            let entries: Result<_, BoltError> = entries
                .into_iter()
                .map(|(key, value)| Ok((key, value_of(value, column)?)))
                .collect();
            Value::Map(entries?)
        }
        FakeValue::Bytes(_) | FakeValue::Struct(..) => {
            let message = format!("column {column:?}: a type that is never asked for");
            return Err(BoltError::new(ErrorKind::Decode, message));
        }
    })
}
