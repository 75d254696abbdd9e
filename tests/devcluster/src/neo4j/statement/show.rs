//! `SHOW …` and what may follow it: `YIELD` with columns, `WHERE` with one comparison.

use super::{Term, parser::Parser};
use crate::neo4j::{
    failure::Neo4jFailure,
    value::{Value, ValueMap},
};

/// What is shown.
#[derive(Debug, Clone, PartialEq)]
pub enum ShowWhat {
    /// Servers.
    Servers,
    /// Databases: all, one by name, or the default one.
    Databases(DatabaseChoice),
    /// Users.
    Users,
    /// The user that asks.
    CurrentUser,
    /// Settings: all, or some by name.
    Settings(Vec<String>),
    /// Running transactions.
    Transactions,
}

/// Which databases.
#[derive(Debug, Clone, PartialEq)]
pub enum DatabaseChoice {
    /// All.
    All,
    /// The default one, which is everyone's home here.
    Default,
    /// One by name.
    Named(Term),
}

/// Columns wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Yield {
    /// Those shown without `YIELD`.
    Default,
    /// All.
    All,
    /// These.
    Columns(Vec<String>),
}

/// Rows wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// The boolean column is true.
    True(String),
    /// The column has this value (true), or another (false).
    Value(String, bool, Term),
    /// Both columns are equal (true), or differ.
    Columns(String, bool, String),
}

/// Columns and rows wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Columns.
    pub yields: Yield,
    /// Rows.
    pub comparison: Option<Comparison>,
}

/// A `SHOW`.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What.
    pub what: ShowWhat,
    /// Which of it.
    pub filter: Filter,
}

/// All columns of a result; the first so many are shown without `YIELD`.
#[derive(Debug, Clone, Copy)]
pub struct Columns {
    /// Names in order.
    pub names: &'static [&'static str],
    /// How many are shown by default.
    pub shown: usize,
}

/// Columns of `SHOW SERVERS`.
pub const SERVERS: Columns = Columns {
    names: &[
        "name",
        "address",
        "state",
        "health",
        "hosting",
        "serverId",
        "httpAddress",
        "httpsAddress",
        "requestedHosting",
        "tags",
        "allowedDatabases",
        "deniedDatabases",
        "modeConstraint",
        "version",
    ],
    shown: 5,
};

/// Columns of `SHOW DATABASES`.
pub const DATABASES: Columns = Columns {
    names: &[
        "name",
        "type",
        "aliases",
        "access",
        "address",
        "role",
        "writer",
        "requestedStatus",
        "currentStatus",
        "statusMessage",
        "default",
        "home",
        "constituents",
        "databaseID",
        "serverID",
        "currentPrimariesCount",
        "currentSecondariesCount",
        "requestedPrimariesCount",
        "requestedSecondariesCount",
        "creationTime",
        "lastStartTime",
        "lastStopTime",
        "store",
        "lastCommittedTxn",
        "replicationLag",
        "options",
    ],
    shown: 13,
};

/// Columns of `SHOW USERS`; `WITH AUTH` adds `provider` and `auth`.
pub const USERS: Columns = Columns {
    names: &[
        "user",
        "roles",
        "passwordChangeRequired",
        "suspended",
        "home",
        "provider",
        "auth",
    ],
    shown: 5,
};

/// Columns of `SHOW SETTINGS`.
pub const SETTINGS: Columns = Columns {
    names: &[
        "name",
        "value",
        "isDynamic",
        "defaultValue",
        "description",
        "startupValue",
        "isExplicitlySet",
        "validValues",
        "isDeprecated",
    ],
    shown: 5,
};

/// Columns of `SHOW TRANSACTIONS`.
pub const TRANSACTIONS: Columns = Columns {
    names: &[
        "database",
        "transactionId",
        "currentQueryId",
        "connectionId",
        "clientAddress",
        "username",
        "currentQuery",
        "startTime",
        "status",
        "elapsedTime",
        "activeLockCount",
        "metaData",
    ],
    shown: 10,
};

impl ShowWhat {
    /// Its columns.
    pub fn columns(&self) -> Columns {
        match self {
            Self::Servers => SERVERS,
            Self::Databases(_) => DATABASES,
            // What `WITH AUTH` adds is not there without it.
            Self::Users | Self::CurrentUser => Columns {
                names: &USERS.names[..USERS.shown],
                ..USERS
            },
            Self::Settings(_) => SETTINGS,
            Self::Transactions => TRANSACTIONS,
        }
    }
}

impl Filter {
    /// The names of the columns asked for.
    pub fn columns(&self, all: Columns) -> Vec<String> {
        match &self.yields {
            Yield::Default => all.names[..all.shown].iter().map(|&name| name.to_owned()).collect(),
            Yield::All => all.names.iter().map(|&name| name.to_owned()).collect(),
            Yield::Columns(names) => names.clone(),
        }
    }

    /// Whether a row, given by its columns, is wanted.
    pub fn wants(&self, row: &ValueMap, parameters: &ValueMap) -> Result<bool, Neo4jFailure> {
        let column = |name: &str| row.get(name).unwrap_or(&Value::Null);
        // A comparison with null is null, and null is not true.
        let compare = |left: &Value, right: &Value, equal: bool| {
            *left != Value::Null && *right != Value::Null && (left == right) == equal
        };
        Ok(match &self.comparison {
            None => true,
            Some(Comparison::True(name)) => *column(name) == Value::Bool(true),
            Some(Comparison::Value(name, equal, term)) => compare(column(name), &term.value(parameters)?, *equal),
            Some(Comparison::Columns(left, equal, right)) => compare(column(left), column(right), *equal),
        })
    }

    /// Every column named must exist, and `WHERE` sees only what `YIELD` passes on.
    fn check(&self, all: Columns) -> Result<(), Neo4jFailure> {
        if let Yield::Columns(names) = &self.yields {
            for (at, name) in names.iter().enumerate() {
                if !all.names.contains(&name.as_str()) {
                    return Err(Neo4jFailure::syntax(format_args!(
                        "Trying to YIELD non-existing column: `{name}`"
                    )));
                }
                if names[..at].contains(name) {
                    return Err(Neo4jFailure::syntax(format_args!("Variable `{name}` already declared")));
                }
            }
        }
        let visible = self.columns(all);
        let named: Vec<&String> = match &self.comparison {
            None => vec![],
            Some(Comparison::True(name) | Comparison::Value(name, ..)) => vec![name],
            Some(Comparison::Columns(left, _, right)) => vec![left, right],
        };
        match named.into_iter().find(|name| !visible.contains(name)) {
            Some(name) => Err(Neo4jFailure::syntax(format_args!("Variable `{name}` not defined"))),
            None => Ok(()),
        }
    }
}

impl Parser {
    pub(super) fn show(&mut self) -> Result<Table, Neo4jFailure> {
        let mut columns = None;
        let what = if self.any_word(&["SERVERS", "SERVER"]) {
            ShowWhat::Servers
        } else if self.words(&["DATABASES"]) {
            ShowWhat::Databases(DatabaseChoice::All)
        } else if self.words(&["DEFAULT", "DATABASE"]) || self.words(&["HOME", "DATABASE"]) {
            ShowWhat::Databases(DatabaseChoice::Default)
        } else if self.words(&["DATABASE"]) {
            ShowWhat::Databases(DatabaseChoice::Named(self.name_or_parameter("a database name")?))
        } else if self.any_word(&["USERS", "USER"]) {
            if self.words(&["WITH", "AUTH"]) {
                columns = Some(Columns {
                    shown: USERS.names.len(),
                    ..USERS
                });
            }
            ShowWhat::Users
        } else if self.words(&["CURRENT", "USER"]) {
            ShowWhat::CurrentUser
        } else if self.any_word(&["SETTINGS", "SETTING"]) {
            ShowWhat::Settings(self.texts()?)
        } else if self.any_word(&["TRANSACTIONS", "TRANSACTION"]) {
            ShowWhat::Transactions
        } else {
            return Err(self.unexpected("SERVERS, DATABASES, DATABASE, USERS, SETTINGS or TRANSACTIONS"));
        };
        let all = columns.unwrap_or_else(|| what.columns());
        let mut filter = self.filter(all)?;
        if columns.is_some() && filter.yields == Yield::Default {
            filter.yields = Yield::All;
        }
        Ok(Table { what, filter })
    }

    /// `'a', 'b'`, or nothing.
    fn texts(&mut self) -> Result<Vec<String>, Neo4jFailure> {
        let mut texts = Vec::new();
        while self.text_is_next() || !texts.is_empty() {
            match self.text_or_parameter("a name")? {
                Term::Literal(Value::String(text)) => texts.push(text),
                _ => return Err(self.unexpected("a name in quotes")),
            }
            if !self.sign(",") {
                break;
            }
        }
        Ok(texts)
    }

    /// `[YIELD …] [WHERE …]`, with its columns checked.
    pub(super) fn filter(&mut self, all: Columns) -> Result<Filter, Neo4jFailure> {
        let yields = if !self.words(&["YIELD"]) {
            Yield::Default
        } else if self.sign("*") {
            Yield::All
        } else {
            let mut names = vec![self.name("a column")?];
            while self.sign(",") {
                names.push(self.name("a column")?);
            }
            Yield::Columns(names)
        };
        let comparison = if self.words(&["WHERE"]) {
            Some(self.comparison()?)
        } else {
            None
        };
        let filter = Filter { yields, comparison };
        filter.check(all)?;
        Ok(filter)
    }

    fn comparison(&mut self) -> Result<Comparison, Neo4jFailure> {
        let left = self.name("a column")?;
        let equal = if self.sign("=") {
            true
        } else if self.sign("<>") {
            false
        } else {
            return Ok(Comparison::True(left));
        };
        if let Ok(term) = self.term() {
            return Ok(Comparison::Value(left, equal, term));
        }
        let right = self.name("a column or a literal")?;
        Ok(Comparison::Columns(left, equal, right))
    }
}
