//! Administration: servers, databases, users.

use std::collections::BTreeMap;

use super::{Statement, Term, parser::Parser};
use crate::neo4j::{
    failure::Neo4jFailure,
    value::{Value, ValueMap},
};

/// `WAIT` without a time waits this long.
const DEFAULT_WAIT_SECONDS: i64 = 300;

/// Whether a statement waits for its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// `NOWAIT`, or nothing said.
    No,
    /// At most so many seconds.
    Seconds(u32),
}

/// `TOPOLOGY p PRIMARIES s SECONDARIES`; what is not said stays open.
#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    /// Copies that vote.
    pub primaries: Option<Term>,
    /// Copies that only read.
    pub secondaries: Option<Term>,
}

/// `SET ACCESS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `READ ONLY`.
    ReadOnly,
    /// `READ WRITE`.
    ReadWrite,
}

/// `OPTIONS {…}` of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerOptions {
    /// `NONE`, `PRIMARY` or `SECONDARY`; `None` is not said.
    pub mode_constraint: Option<String>,
    /// Only these databases.
    pub allowed: Vec<String>,
    /// Not these databases.
    pub denied: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
}

/// `OPTIONS {…}` of a database, or a parameter that holds them.
#[derive(Debug, Clone, PartialEq)]
pub enum DatabaseOptions {
    /// Written out.
    Map(BTreeMap<String, Term>),
    /// Sent as a parameter.
    Parameter(String),
}

/// Home database of a user.
#[derive(Debug, Clone, PartialEq)]
pub enum Home {
    /// This one.
    Set(Term),
    /// The default one again.
    Remove,
}

/// What `CREATE USER` or `ALTER USER` sets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UserChange {
    /// The password.
    pub password: Option<Term>,
    /// Whether it must be changed at the next login.
    pub change_required: Option<bool>,
    /// `STATUS SUSPENDED` (true) or `ACTIVE`.
    pub suspended: Option<bool>,
    /// The home database.
    pub home: Option<Home>,
}

impl DatabaseOptions {
    /// The options with parameters filled in.
    pub fn values(&self, parameters: &ValueMap) -> Result<ValueMap, Neo4jFailure> {
        let value = match self {
            Self::Map(entries) => Term::Map(entries.clone()).value(parameters)?,
            Self::Parameter(name) => Term::Parameter(name.clone()).value(parameters)?,
        };
        match value {
            Value::Map(map) => Ok(map),
            other => Err(Neo4jFailure::argument(format_args!(
                "Expected OPTIONS to be a map, got {other:?}"
            ))),
        }
    }
}

impl Parser {
    pub(super) fn administration(&mut self) -> Result<Statement, Neo4jFailure> {
        let dryrun = self.words(&["DRYRUN"]);
        if self.words(&["DEALLOCATE"]) {
            return self.deallocate(dryrun);
        }
        if self.words(&["REALLOCATE"]) {
            self.expect_any_word(&["DATABASES", "DATABASE"])?;
            return Ok(Statement::Reallocate { dryrun });
        }
        if dryrun {
            return Err(self.unexpected("DEALLOCATE or REALLOCATE"));
        }
        if self.words(&["ENABLE", "SERVER"]) {
            let server = self.text_or_parameter("a server")?;
            let options = if self.words(&["OPTIONS"]) {
                Some(self.server_options()?)
            } else {
                None
            };
            return Ok(Statement::EnableServer(server, options));
        }
        if self.words(&["RENAME", "SERVER"]) {
            let from = self.text_or_parameter("a server")?;
            self.expect_words(&["TO"])?;
            return Ok(Statement::RenameServer(from, self.text_or_parameter("a name")?));
        }
        if self.words(&["START", "DATABASE"]) {
            let name = self.name_or_parameter("a database name")?;
            return Ok(Statement::RunDatabase(name, true, self.wait()?));
        }
        if self.words(&["STOP", "DATABASE"]) {
            let name = self.name_or_parameter("a database name")?;
            return Ok(Statement::RunDatabase(name, false, self.wait()?));
        }
        if self.words(&["ALTER"]) {
            return self.alter();
        }
        if self.words(&["CREATE"]) {
            return self.create();
        }
        if self.words(&["DROP"]) {
            return self.drop_something();
        }
        Err(self.unexpected("an administration command, SHOW, CALL or RETURN"))
    }

    fn deallocate(&mut self, dryrun: bool) -> Result<Statement, Neo4jFailure> {
        self.expect_any_word(&["DATABASES", "DATABASE"])?;
        self.expect_words(&["FROM"])?;
        self.expect_any_word(&["SERVERS", "SERVER"])?;
        let mut servers = vec![self.text_or_parameter("a server")?];
        while self.sign(",") {
            servers.push(self.text_or_parameter("a server")?);
        }
        Ok(Statement::Deallocate { dryrun, servers })
    }

    fn alter(&mut self) -> Result<Statement, Neo4jFailure> {
        if self.words(&["SERVER"]) {
            let server = self.text_or_parameter("a server")?;
            self.expect_words(&["SET", "OPTIONS"])?;
            return Ok(Statement::AlterServer(server, self.server_options()?));
        }
        if self.words(&["DATABASE"]) {
            return self.alter_database();
        }
        if self.words(&["CURRENT", "USER"]) {
            self.expect_words(&["SET", "PASSWORD", "FROM"])?;
            let from = self.text_or_parameter("a password")?;
            self.expect_words(&["TO"])?;
            let to = self.text_or_parameter("a password")?;
            return Ok(Statement::ChangeOwnPassword { from, to });
        }
        self.expect_words(&["USER"])?;
        let name = self.name_or_parameter("a user name")?;
        let if_exists = self.words(&["IF", "EXISTS"]);
        let change = self.user_change()?;
        if change == UserChange::default() {
            return Err(self.unexpected("SET or REMOVE"));
        }
        Ok(Statement::AlterUser {
            name,
            if_exists,
            change,
        })
    }

    fn alter_database(&mut self) -> Result<Statement, Neo4jFailure> {
        let name = self.name_or_parameter("a database name")?;
        let if_exists = self.words(&["IF", "EXISTS"]);
        let (mut topology, mut access) = (None, None);
        while self.words(&["SET"]) {
            if topology.is_none() && self.words(&["TOPOLOGY"]) {
                topology = Some(self.topology()?);
            } else if access.is_none() && self.words(&["ACCESS", "READ"]) {
                access = Some(if self.words(&["ONLY"]) {
                    Access::ReadOnly
                } else {
                    self.expect_words(&["WRITE"])?;
                    Access::ReadWrite
                });
            } else {
                return Err(self.unexpected("TOPOLOGY or ACCESS READ"));
            }
        }
        if topology.is_none() && access.is_none() {
            return Err(self.unexpected("SET"));
        }
        Ok(Statement::AlterDatabase {
            name,
            if_exists,
            topology,
            access,
            wait: self.wait()?,
        })
    }

    fn create(&mut self) -> Result<Statement, Neo4jFailure> {
        if self.words(&["USER"]) {
            let name = self.name_or_parameter("a user name")?;
            let if_not_exists = self.words(&["IF", "NOT", "EXISTS"]);
            let change = self.user_change()?;
            if change.password.is_none() {
                return Err(self.unexpected("SET PASSWORD"));
            }
            return Ok(Statement::CreateUser {
                name,
                if_not_exists,
                change,
            });
        }
        self.expect_words(&["DATABASE"])?;
        let name = self.name_or_parameter("a database name")?;
        let if_not_exists = self.words(&["IF", "NOT", "EXISTS"]);
        let language = if self.words(&["DEFAULT", "LANGUAGE", "CYPHER"]) {
            match self.next_int()? {
                version @ (5 | 25) => Some(version),
                _ => return Err(self.unexpected("5 or 25")),
            }
        } else {
            None
        };
        let topology = if self.words(&["TOPOLOGY"]) {
            Some(self.topology()?)
        } else {
            None
        };
        let options = if !self.words(&["OPTIONS"]) {
            DatabaseOptions::Map(BTreeMap::new())
        } else if self.parameter_is_next() {
            match self.term()? {
                Term::Parameter(name) => DatabaseOptions::Parameter(name),
                _ => return Err(self.unexpected("a map or a parameter")),
            }
        } else {
            DatabaseOptions::Map(self.map()?)
        };
        Ok(Statement::CreateDatabase {
            name,
            if_not_exists,
            topology,
            options,
            language,
            wait: self.wait()?,
        })
    }

    fn drop_something(&mut self) -> Result<Statement, Neo4jFailure> {
        if self.words(&["SERVER"]) {
            return Ok(Statement::DropServer(self.text_or_parameter("a server")?));
        }
        if self.words(&["USER"]) {
            let name = self.name_or_parameter("a user name")?;
            let if_exists = self.words(&["IF", "EXISTS"]);
            return Ok(Statement::DropUser { name, if_exists });
        }
        self.expect_words(&["DATABASE"])?;
        let name = self.name_or_parameter("a database name")?;
        let if_exists = self.words(&["IF", "EXISTS"]);
        if self.any_word(&["DUMP", "DESTROY"]) {
            self.expect_words(&["DATA"])?;
        }
        Ok(Statement::DropDatabase {
            name,
            if_exists,
            wait: self.wait()?,
        })
    }

    fn wait(&mut self) -> Result<Wait, Neo4jFailure> {
        if self.words(&["NOWAIT"]) || !self.words(&["WAIT"]) {
            return Ok(Wait::No);
        }
        let mut seconds = DEFAULT_WAIT_SECONDS;
        if self.count_is_next() {
            seconds = self.next_int()?;
            self.any_word(&["SECONDS", "SECOND", "SEC"]);
        }
        u32::try_from(seconds)
            .map(Wait::Seconds)
            .map_err(|_| Neo4jFailure::syntax("the waiting time is out of range"))
    }

    fn topology(&mut self) -> Result<Topology, Neo4jFailure> {
        let mut topology = Topology {
            primaries: None,
            secondaries: None,
        };
        while self.count_is_next() {
            let count = self.count_or_parameter()?;
            if topology.primaries.is_none() && self.any_word(&["PRIMARIES", "PRIMARY"]) {
                topology.primaries = Some(count);
            } else if topology.secondaries.is_none() && self.any_word(&["SECONDARIES", "SECONDARY"]) {
                topology.secondaries = Some(count);
            } else {
                return Err(self.unexpected("PRIMARIES or SECONDARIES"));
            }
        }
        if topology.primaries.is_none() && topology.secondaries.is_none() {
            return Err(self.unexpected("a number of PRIMARIES or SECONDARIES"));
        }
        Ok(topology)
    }

    /// Literals only (N44): any expression is good grammar, but what is none is refused for its meaning.
    fn server_options(&mut self) -> Result<ServerOptions, Neo4jFailure> {
        let not_literal = |what: &str| Neo4jFailure::argument(format_args!("Expected a literal, got {what}"));
        if self.parameter_is_next() {
            self.term()?;
            return Err(not_literal("a parameter"));
        }
        let mut options = ServerOptions::default();
        let empty = ValueMap::new();
        for (key, term) in self.map_or_variables()? {
            let term = term.ok_or_else(|| not_literal("a variable"))?;
            let value = term.value(&empty).map_err(|_| not_literal("a parameter"))?;
            match (key.to_ascii_lowercase().as_str(), value) {
                ("modeconstraint", Value::String(mode)) => {
                    let mode = mode.to_ascii_uppercase();
                    if !["NONE", "PRIMARY", "SECONDARY"].contains(&mode.as_str()) {
                        return Err(Neo4jFailure::argument(format_args!(
                            "'{mode}' is not a valid mode constraint. Valid values: NONE, PRIMARY, SECONDARY"
                        )));
                    }
                    options.mode_constraint = Some(mode);
                }
                ("alloweddatabases", value) => options.allowed = strings(&key, value)?,
                ("denieddatabases", value) => options.denied = strings(&key, value)?,
                ("tags", value) => options.tags = strings(&key, value)?,
                _ => {
                    return Err(Neo4jFailure::argument(format_args!(
                        "Unrecognised or invalid option `{key}`, expected modeConstraint, allowedDatabases, deniedDatabases or tags"
                    )));
                }
            }
        }
        if !options.allowed.is_empty() && !options.denied.is_empty() {
            return Err(Neo4jFailure::argument(
                "allowedDatabases and deniedDatabases cannot both be given",
            ));
        }
        Ok(options)
    }

    /// A map whose values may be names, which are `None`.
    fn map_or_variables(&mut self) -> Result<BTreeMap<String, Option<Term>>, Neo4jFailure> {
        let mut entries = BTreeMap::new();
        self.expect_sign("{")?;
        if self.sign("}") {
            return Ok(entries);
        }
        loop {
            let key = self.name("a key")?;
            self.expect_sign(":")?;
            let term = if self.variable_is_next() {
                self.name("a variable")?;
                None
            } else {
                Some(self.term()?)
            };
            entries.insert(key, term);
            if !self.sign(",") {
                self.expect_sign("}")?;
                return Ok(entries);
            }
        }
    }

    fn user_change(&mut self) -> Result<UserChange, Neo4jFailure> {
        let mut change = UserChange::default();
        let again = |what: &str| Neo4jFailure::syntax(format_args!("Duplicate `SET {what}` clause"));
        while self.words(&["REMOVE", "HOME", "DATABASE"]) {
            change.home = Some(Home::Remove);
        }
        while self.words(&["SET"]) {
            if self.words(&["PASSWORD", "CHANGE"]) {
                change.change_required = Some(self.change_required()?);
            } else if self.any_word(&["PLAINTEXT", "PASSWORD"]) {
                self.words(&["PASSWORD"]);
                if change.password.is_some() {
                    return Err(again("PASSWORD"));
                }
                change.password = Some(self.text_or_parameter("a password")?);
                if self.words(&["CHANGE"]) {
                    change.change_required = Some(self.change_required()?);
                }
            } else if self.words(&["STATUS"]) {
                if change.suspended.is_some() {
                    return Err(again("STATUS"));
                }
                change.suspended = Some(self.words(&["SUSPENDED"]));
                if change.suspended == Some(false) {
                    self.expect_words(&["ACTIVE"])?;
                }
            } else if self.words(&["HOME", "DATABASE"]) {
                change.home = Some(Home::Set(self.name_or_parameter("a database name")?));
            } else {
                return Err(self.unexpected("PASSWORD, STATUS or HOME DATABASE"));
            }
        }
        Ok(change)
    }

    fn change_required(&mut self) -> Result<bool, Neo4jFailure> {
        let not = self.words(&["NOT"]);
        self.expect_words(&["REQUIRED"])?;
        Ok(!not)
    }
}

fn strings(key: &str, value: Value) -> Result<Vec<String>, Neo4jFailure> {
    let refused = || Neo4jFailure::argument(format_args!("`{key}` must be a list of strings"));
    let Value::List(items) = value else {
        return Err(refused());
    };
    items
        .into_iter()
        .map(|item| match item {
            Value::String(text) => Ok(text),
            _ => Err(refused()),
        })
        .collect()
}
