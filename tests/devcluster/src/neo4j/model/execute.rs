//! Statements on a cluster: which server may run what, and what comes back.

use std::{collections::VecDeque, time::Duration};

use super::{Cluster, Phase, SYSTEM, servers::Move};
use crate::neo4j::{
    bolt::session::{Outcome, Run, Work},
    failure::{Neo4jFailure, code},
    statement::{Procedure, Statement, Term, Wait},
    value::{Value, ValueMap},
};

/// What a statement did.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed {
    /// What it gives.
    pub outcome: Outcome,
    /// What it still waits for; the effect goes on either way.
    pub waiting: Option<Waiting>,
}

/// What a statement with `WAIT` waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Database that must come to what was asked for; gone counts as that.
    pub database: String,
    /// It waits no longer than this.
    pub until: Duration,
}

impl Cluster {
    /// Runs a statement at a server.
    pub fn execute(&mut self, at: &str, run: &Run, now: Duration) -> Result<Executed, Neo4jFailure> {
        self.advance(now);
        let database = self.database_of(run);
        self.check_access(run, &database)?;
        let statement = self.parse(at, &run.query)?;
        self.check_edition(&statement, &run.query, &run.parameters)?;
        check_password_change(run, &statement)?;
        if statement.is_query() && database == SYSTEM {
            return Err(Neo4jFailure::new(
                code::SEMANTIC,
                format_args!(
                    "Not a recognised system command or procedure. This Cypher command can only be executed in a user database: {}",
                    run.query
                ),
            ));
        }
        if statement.needs_system() && database != SYSTEM {
            return Err(Neo4jFailure::new(
                code::NOT_SYSTEM,
                format_args!(
                    "This is an administration command and it should be executed against the system database: {}",
                    run.query
                ),
            ));
        }
        self.check_available(&database)?;
        if statement.is_administration() {
            self.check_leads(at, run)?;
        }
        let mut executed = match &statement {
            Statement::Return(columns) => returned(columns, &run.parameters)?.into(),
            Statement::Count { name, rows } => counted(name, *rows, run).into(),
            Statement::Quotients(items) => quotients(&items.value(&run.parameters)?).into(),
            Statement::Show(table) => self.show(at, table, run)?.into(),
            Statement::Call {
                procedure,
                arguments,
                filter,
            } => self.call(at, *procedure, arguments, filter, run)?.into(),
            _ => self.administer(&statement, run, now)?,
        };
        executed.outcome.updates = statement.is_administration();
        // All that runs on `system` counts as a change of the schema.
        if database == SYSTEM || statement.is_administration() {
            executed.outcome.kind = "s";
        }
        executed.outcome.database = database;
        Ok(executed)
    }

    /// Whether a transaction may begin on the database that it names.
    pub fn begin(&mut self, run: &Run, now: Duration) -> Result<(), Neo4jFailure> {
        self.advance(now);
        self.check_access(run, &self.database_of(run))
    }

    /// Whether what was waited for has come.
    pub fn has_come(&mut self, waiting: &Waiting, now: Duration) -> bool {
        self.advance(now);
        let Some(database) = self.databases.get(&waiting.database) else {
            return true;
        };
        let settled = database.copies.values().all(|copy| match copy.phase {
            Phase::Online => database.started && !copy.unwanted,
            Phase::Offline => !database.started,
            Phase::Failed => true,
            _ => false,
        });
        settled || now >= waiting.until
    }

    /// Rows of a statement whose waiting is over.
    pub fn waited(&self, waiting: &Waiting) -> VecDeque<Vec<Value>> {
        let Some(database) = self.databases.get(&waiting.database) else {
            return VecDeque::new();
        };
        let row = |(id, copy): (&String, &super::Copy)| {
            let done = matches!(copy.phase, Phase::Online | Phase::Offline);
            let address = self.servers.get(id).map(super::Server::bolt_address);
            let (state, message) = if done {
                ("CaughtUp", "caught up")
            } else {
                ("Incomplete", "server is still catching up")
            };
            vec![address.into(), state.into(), message.into(), Value::Bool(done)]
        };
        database.copies.iter().map(row).collect()
    }

    /// The database must be there, and open to the session.
    fn check_access(&self, run: &Run, database: &str) -> Result<(), Neo4jFailure> {
        if !self.databases.contains_key(database) {
            return Err(Neo4jFailure::database_not_found(database));
        }
        if run.expired && database != SYSTEM {
            let what = format!("ACCESS on database '{database}' is not allowed.");
            return Err(Neo4jFailure::credentials_expired(&what));
        }
        Ok(())
    }

    /// Reads a statement as the asked server's version and edition do.
    fn parse(&self, at: &str, query: &str) -> Result<Statement, Neo4jFailure> {
        let statement = match Statement::parse(query) {
            // Community looks at the grammar alone, not at what an option may be.
            Err(failure) if failure.code == code::ARGUMENT && self.is_community() => {
                return Err(Neo4jFailure::new(
                    code::UNSUPPORTED,
                    format_args!("Unsupported administration command: {query}"),
                ));
            }
            parsed => parsed?,
        };
        let version = self.servers.get(at).map_or("", |server| server.boot.version.as_str());
        match statement {
            Statement::CreateDatabase { language: Some(_), .. } if version.starts_with("5.") => Err(
                Neo4jFailure::syntax("Invalid input 'DEFAULT': expected a later version"),
            ),
            statement => Ok(statement),
        }
    }

    fn database_of(&self, run: &Run) -> String {
        let home = || self.users.get(&run.user).and_then(|user| user.home.clone());
        let named = run.database.as_ref().map(|name| name.to_lowercase());
        named.or_else(home).unwrap_or_else(|| self.default_database.clone())
    }

    fn check_available(&self, name: &str) -> Result<(), Neo4jFailure> {
        let database = self
            .databases
            .get(name)
            .ok_or_else(|| Neo4jFailure::database_not_found(name))?;
        if database.copies.iter().any(|(id, copy)| self.is_online(id, copy)) {
            return Ok(());
        }
        Err(Neo4jFailure::new(
            code::DATABASE_UNAVAILABLE,
            format_args!("Database '{name}' is unavailable."),
        ))
    }

    fn check_leads(&self, at: &str, run: &Run) -> Result<(), Neo4jFailure> {
        if run.in_transaction {
            // Effects here are not taken back, so a transaction that could be rolled back is refused rather than faked.
            return Err(Neo4jFailure::new(
                code::FORBIDDEN,
                "Administration in an explicit transaction is not supported by this server: use an auto-commit transaction.",
            ));
        }
        let leader = self.databases.get(SYSTEM).and_then(|system| system.leader.as_ref());
        match leader {
            Some(leader) if leader == at => Ok(()),
            _ => {
                let address = leader
                    .and_then(|leader| self.servers.get(leader))
                    .map(super::Server::bolt_address);
                Err(Neo4jFailure::not_a_leader(SYSTEM, address.as_deref()))
            }
        }
    }

    fn administer(&mut self, statement: &Statement, run: &Run, now: Duration) -> Result<Executed, Neo4jFailure> {
        let parameters = &run.parameters;
        let text = |term: &Term| term.text(parameters);
        let waiting = match statement {
            Statement::EnableServer(server, options) => {
                self.enable_server(&text(server)?, options.as_ref())?;
                self.arrange_unplaced(now);
                None
            }
            Statement::AlterServer(server, options) => {
                self.alter_server(&text(server)?, options)?;
                None
            }
            Statement::RenameServer(from, to) => {
                self.rename_server(&text(from)?, &text(to)?)?;
                None
            }
            Statement::DropServer(server) => {
                self.drop_server(&text(server)?)?;
                None
            }
            Statement::Deallocate { dryrun, servers } => return self.deallocate_named(*dryrun, servers, run, now),
            Statement::Reallocate { dryrun } => {
                let moves = self.reallocate(*dryrun, now);
                return Ok(if *dryrun {
                    self.moves(&moves).into()
                } else {
                    done().into()
                });
            }
            Statement::CreateDatabase {
                name,
                if_not_exists,
                topology,
                options,
                language,
                wait,
            } => {
                let name = text(name)?;
                self.create_database(
                    name.clone(),
                    *if_not_exists,
                    topology.as_ref(),
                    options,
                    *language,
                    parameters,
                    now,
                )?;
                waiting(&name, *wait, now)
            }
            Statement::AlterDatabase {
                name,
                if_exists,
                topology,
                access,
                wait,
            } => {
                let name = text(name)?;
                self.alter_database(&name, *if_exists, topology.as_ref(), *access, parameters, now)?;
                waiting(&name, *wait, now)
            }
            Statement::DropDatabase { name, if_exists, wait } => {
                let name = text(name)?;
                self.drop_database(&name, *if_exists)?;
                waiting(&name, *wait, now)
            }
            Statement::RunDatabase(name, start, wait) => {
                let name = text(name)?;
                self.run_database(&name, *start, now)?;
                waiting(&name, *wait, now)
            }
            Statement::CreateUser {
                name,
                if_not_exists,
                change,
            } => {
                self.create_user(text(name)?, *if_not_exists, change, parameters)?;
                None
            }
            Statement::AlterUser {
                name,
                if_exists,
                change,
            } => {
                self.alter_user(&text(name)?, *if_exists, change, parameters)?;
                None
            }
            Statement::ChangeOwnPassword { from, to } => {
                self.change_own_password(&run.user, &text(from)?, &text(to)?)?;
                None
            }
            Statement::DropUser { name, if_exists } => {
                self.drop_user(&text(name)?, *if_exists)?;
                None
            }
            Statement::Return(_)
            | Statement::Count { .. }
            | Statement::Quotients(_)
            | Statement::Show(_)
            | Statement::Call { .. } => None,
        };
        if let Some(system) = self.databases.get_mut(SYSTEM) {
            system.last_tx += 1;
        }
        self.settle(now);
        let mut outcome = done();
        if waiting.is_some() {
            outcome.fields = ["address", "state", "message", "success"].map(str::to_owned).to_vec();
        }
        Ok(Executed { outcome, waiting })
    }

    /// Databases that have found no servers so far may find them now.
    pub(super) fn arrange_unplaced(&mut self, now: Duration) {
        for name in self.user_databases() {
            if self
                .databases
                .get(&name)
                .is_some_and(|database| database.copies.is_empty())
            {
                let _ = self.arrange(&name, now);
            }
        }
    }

    fn deallocate_named(
        &mut self,
        dryrun: bool,
        servers: &[Term],
        run: &Run,
        now: Duration,
    ) -> Result<Executed, Neo4jFailure> {
        let ids = servers
            .iter()
            .map(|server| self.find_server(&server.text(&run.parameters)?))
            .collect::<Result<Vec<_>, _>>()?;
        let moves = self.plan_deallocation(&ids)?;
        if dryrun {
            return Ok(self.moves(&moves).into());
        }
        self.deallocate(&ids, now)?;
        Ok(done().into())
    }

    /// The table of a DRYRUN.
    fn moves(&self, moves: &[Move]) -> Outcome {
        let name = |id: &str| self.servers.get(id).map(|server| server.name.clone());
        let row = |step: &Move| {
            let to = step.to.as_deref();
            vec![
                step.database.as_str().into(),
                name(&step.from).into(),
                step.from.as_str().into(),
                to.and_then(name).into(),
                to.into(),
                step.mode.as_str().into(),
            ]
        };
        let fields = [
            "database",
            "fromServerName",
            "fromServerId",
            "toServerName",
            "toServerId",
            "mode",
        ];
        Outcome {
            fields: fields.map(str::to_owned).to_vec(),
            rows: moves.iter().map(row).collect(),
            kind: "r",
            ..Outcome::default()
        }
    }
}

/// What a session may do whose password must be changed first.
fn check_password_change(run: &Run, statement: &Statement) -> Result<(), Neo4jFailure> {
    let allowed = matches!(
        statement,
        Statement::ChangeOwnPassword { .. }
            | Statement::Call {
                procedure: Procedure::Ping,
                ..
            }
    );
    if run.expired && !allowed {
        return Err(Neo4jFailure::credentials_expired("Permission denied."));
    }
    Ok(())
}

impl From<Outcome> for Executed {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, waiting: None }
    }
}

/// The empty result of a change.
pub(super) fn done() -> Outcome {
    Outcome {
        kind: "s",
        ..Outcome::default()
    }
}

fn waiting(name: &str, wait: Wait, now: Duration) -> Option<Waiting> {
    match wait {
        Wait::No => None,
        Wait::Seconds(seconds) => Some(Waiting {
            database: name.to_lowercase(),
            until: now + Duration::from_secs(u64::from(seconds)),
        }),
    }
}

fn returned(columns: &[(String, Term)], parameters: &ValueMap) -> Result<Outcome, Neo4jFailure> {
    let row = columns
        .iter()
        .map(|(_, term)| term.value(parameters))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Outcome {
        fields: columns.iter().map(|(name, _)| name.clone()).collect(),
        rows: [row].into(),
        kind: "r",
        ..Outcome::default()
    })
}

/// What counting one row takes.
const COUNTED_ROW: Duration = Duration::from_nanos(50);

/// The number of rows, after the time that it takes to count them.
fn counted(name: &str, rows: u64, run: &Run) -> Outcome {
    let nanos = u128::from(rows) * COUNTED_ROW.as_nanos();
    Outcome {
        fields: vec![name.to_owned()],
        rows: [vec![Value::Int(i64::try_from(rows).unwrap_or(i64::MAX))]].into(),
        kind: "r",
        work: Some(Box::new(Work {
            run: run.clone(),
            time: Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
        })),
        ..Outcome::default()
    }
}

/// `1/i` for every item: rows up to the first zero, then the failure that comes at PULL.
fn quotients(items: &Value) -> Outcome {
    let mut outcome = Outcome {
        fields: vec!["1/i".to_owned()],
        kind: "r",
        ..Outcome::default()
    };
    let items = match items {
        Value::List(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    for item in items {
        let Some(quotient) = item.as_int().and_then(|i| 1_i64.checked_div(i)) else {
            outcome.failure = Some(Neo4jFailure::new(code::ARITHMETIC, "/ by zero"));
            break;
        };
        outcome.rows.push_back(vec![Value::Int(quotient)]);
    }
    outcome
}
