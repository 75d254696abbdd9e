//! Every statement that the operator can send, in one table.
//!
//! A [`Command`] is what is wanted, its [`Command::text`] the Cypher for it; nothing else in the daemon
//! writes Cypher. [`Command::samples`] has one of each shape, so that a test can send them all to a real
//! server and let it check the grammar. Identifiers and literals go through one escaper; columns are always
//! named, because some of those left out are of types that the driver cannot read.

use std::{borrow::Cow, fmt::Write as _, sync::Arc, time::Duration};

use super::{
    driver::{Statement, Value},
    error::{BoltError, ErrorKind},
};

mod samples;

macro_rules! operations {
    ($($operation:ident => $label:literal,)+) => {
        /// What a statement is for: a closed set of metric labels.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs)] // the variants are the operations' own names
        pub enum Operation { $($operation,)+ }

        impl Operation {
            /// Every operation.
            pub const ALL: &[Self] = &[$(Self::$operation,)+];

            /// The label's value.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$operation => $label,)+ }
            }
        }
    };
}

operations! {
    ShowServers => "show_servers",
    ShowDatabases => "show_databases",
    FindLeader => "find_leader",
    Components => "components",
    Settings => "settings",
    TopologyConfig => "topology_config",
    StatusCheck => "status_check",
    Ping => "ping",
    EnableServer => "enable_server",
    DefaultAllocation => "default_allocation",
    CreateDatabase => "create_database",
    AlterTopology => "alter_topology",
    StartDatabase => "start_database",
    StopDatabase => "stop_database",
    DropDatabase => "drop_database",
}

/// What may be done after a statement failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It changes nothing: ask another server.
    Read,
    /// Doing it twice is doing it once: read the state again, then do it again.
    Idempotent,
    /// Never again by itself: read the state and decide anew.
    Never,
}

/// Which databases a server may host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModeConstraint {
    /// Primaries and secondaries.
    None,
    /// Primaries alone.
    Primary,
    /// Secondaries alone.
    Secondary,
}

impl ModeConstraint {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::None, Self::Primary, Self::Secondary];

    /// As in `ENABLE SERVER … OPTIONS {modeConstraint: …}` and in `SHOW SERVERS`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Primary => "PRIMARY",
            Self::Secondary => "SECONDARY",
        }
    }
}

/// How many copies of a database there shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Topology {
    /// Copies that vote.
    pub primaries: u8,
    /// Copies that only follow.
    pub secondaries: u8,
}

/// One statement as it is wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Every server with its state.
    ShowServers,
    /// Every allocation of every database.
    ShowDatabases,
    /// The writer of `system`.
    FindLeader,
    /// Version and edition of the server that answers.
    Components,
    /// The values of these settings.
    Settings(Vec<String>),
    /// The default numbers of copies.
    TopologyConfig,
    /// Whether these databases replicate, asked of every copy.
    StatusCheck(Vec<String>),
    /// Whether the server answers at all.
    Ping,
    /// A Free or Cordoned server takes part.
    EnableServer {
        /// Its id.
        server_id: String,
        /// Which databases it may host.
        mode: ModeConstraint,
    },
    /// The default numbers of copies for databases that name none.
    DefaultAllocation(Topology),
    /// A new database; returns before it is online.
    CreateDatabase {
        /// Its name.
        name: String,
        /// Whether one of that name is fine.
        if_not_exists: bool,
        /// Its copies; the defaults without it.
        topology: Option<Topology>,
        /// `OPTIONS`, by key.
        options: Vec<(String, Value)>,
    },
    /// Other numbers of copies; returns before they are there.
    AlterTopology {
        /// The database.
        name: String,
        /// Its copies.
        topology: Topology,
    },
    /// The database goes online.
    StartDatabase(String),
    /// The database goes offline.
    StopDatabase(String),
    /// The database and its data are destroyed.
    DropDatabase(String),
}

/// Budget of a read.
const READ: Duration = Duration::from_secs(5);
/// Budget of a change.
const WRITE: Duration = Duration::from_secs(15);
/// Budget of a ping.
const PROBE: Duration = Duration::from_secs(2);
/// What a status check waits for its own write to be replicated.
const STATUS_CHECK_MS: u32 = 2000;

impl Command {
    /// The operation, for metrics and the server's own log.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::ShowServers => Operation::ShowServers,
            Self::ShowDatabases => Operation::ShowDatabases,
            Self::FindLeader => Operation::FindLeader,
            Self::Components => Operation::Components,
            Self::Settings(_) => Operation::Settings,
            Self::TopologyConfig => Operation::TopologyConfig,
            Self::StatusCheck(_) => Operation::StatusCheck,
            Self::Ping => Operation::Ping,
            Self::EnableServer { .. } => Operation::EnableServer,
            Self::DefaultAllocation(_) => Operation::DefaultAllocation,
            Self::CreateDatabase { .. } => Operation::CreateDatabase,
            Self::AlterTopology { .. } => Operation::AlterTopology,
            Self::StartDatabase(_) => Operation::StartDatabase,
            Self::StopDatabase(_) => Operation::StopDatabase,
            Self::DropDatabase(_) => Operation::DropDatabase,
        }
    }

    /// What may be done after it failed.
    pub fn retry(&self) -> Retry {
        match self {
            Self::ShowServers
            | Self::ShowDatabases
            | Self::FindLeader
            | Self::Components
            | Self::Settings(_)
            | Self::TopologyConfig
            | Self::StatusCheck(_)
            | Self::Ping => Retry::Read,
            Self::EnableServer { .. }
            | Self::DefaultAllocation(_)
            | Self::AlterTopology { .. }
            | Self::StartDatabase(_)
            | Self::StopDatabase(_) => Retry::Idempotent,
            Self::CreateDatabase {
                if_not_exists, options, ..
            } if *if_not_exists && options.is_empty() => Retry::Idempotent,
            Self::CreateDatabase { .. } | Self::DropDatabase(_) => Retry::Never,
        }
    }

    /// The longest it may take.
    pub const fn budget(&self) -> Duration {
        match self {
            Self::ShowServers
            | Self::ShowDatabases
            | Self::FindLeader
            | Self::Components
            | Self::Settings(_)
            | Self::TopologyConfig => READ,
            Self::Ping => PROBE,
            _ => WRITE,
        }
    }

    /// The Cypher. Wrong ids, names and values are errors here, before anything is sent.
    pub fn text(&self) -> Result<Cow<'static, str>, BoltError> {
        Ok(match self {
            Self::ShowServers => "SHOW SERVERS YIELD serverId, name, address, state, health, hosting, \
                 requestedHosting, modeConstraint, tags, version"
                .into(),
            Self::ShowDatabases => "SHOW DATABASES YIELD name, type, access, address, role, writer, requestedStatus, \
                 currentStatus, statusMessage, default, serverID, currentPrimariesCount, \
                 currentSecondariesCount, requestedPrimariesCount, requestedSecondariesCount, \
                 lastCommittedTxn, replicationLag"
                .into(),
            Self::FindLeader => "SHOW DATABASE system YIELD address, role, writer, currentStatus WHERE writer".into(),
            Self::Components => "CALL dbms.components() YIELD name, versions, edition".into(),
            Self::Settings(names) => {
                let names: Vec<_> = names.iter().map(|name| literal(name)).collect();
                format!("SHOW SETTINGS {} YIELD name, value", names.join(", ")).into()
            }
            Self::TopologyConfig => "CALL dbms.showTopologyGraphConfig() YIELD defaultPrimariesCount, \
                 defaultSecondariesCount"
                .into(),
            Self::StatusCheck(databases) => {
                let names: Vec<_> = databases.iter().map(|name| literal(name)).collect();
                format!(
                    "CALL dbms.cluster.statusCheck([{}], {STATUS_CHECK_MS}) YIELD database, serverId, serverName, \
                     replicationSuccessful, memberStatus, error",
                    names.join(", ")
                )
                .into()
            }
            Self::Ping => "CALL db.ping()".into(),
            Self::EnableServer { server_id, mode } => format!(
                "ENABLE SERVER {} OPTIONS {{modeConstraint: '{}'}}",
                server_literal(server_id)?,
                mode.as_str()
            )
            .into(),
            Self::DefaultAllocation(topology) => format!(
                "CALL dbms.setDefaultAllocationNumbers({}, {})",
                topology.primaries, topology.secondaries
            )
            .into(),
            Self::CreateDatabase {
                name,
                if_not_exists,
                topology,
                options,
            } => {
                let mut text = format!("CREATE DATABASE {}", identifier(name)?);
                if *if_not_exists {
                    text.push_str(" IF NOT EXISTS");
                }
                if let Some(topology) = topology {
                    text.push_str(" TOPOLOGY");
                    text.push_str(&copies(*topology, false));
                }
                if !options.is_empty() {
                    let options: Result<Vec<_>, _> = options
                        .iter()
                        .map(|(key, value)| Ok(format!("{}: {}", identifier(key)?, literal_of(value)?)))
                        .collect();
                    let _ = write!(text, " OPTIONS {{{}}}", options?.join(", "));
                }
                text.push_str(" NOWAIT");
                text.into()
            }
            Self::AlterTopology { name, topology } => format!(
                "ALTER DATABASE {} SET TOPOLOGY{} NOWAIT",
                identifier(name)?,
                // Said even where it is none: what a left-out number means is nowhere promised.
                copies(*topology, true)
            )
            .into(),
            Self::StartDatabase(name) => format!("START DATABASE {}", identifier(name)?).into(),
            Self::StopDatabase(name) => format!("STOP DATABASE {}", identifier(name)?).into(),
            Self::DropDatabase(name) => format!("DROP DATABASE {} IF EXISTS DESTROY DATA", identifier(name)?).into(),
        })
    }

    /// The statement to send.
    pub fn statement(&self, reconcile_id: &Arc<str>) -> Result<Statement, BoltError> {
        Ok(Statement {
            text: self.text()?,
            params: Vec::new(),
            op: self.operation(),
            budget: self.budget(),
            reconcile_id: reconcile_id.clone(),
        })
    }

    /// The first release of Neo4j that understands it, as (major, minor). The operator runs 5.26 and later.
    pub const fn since(&self) -> (u16, u16) {
        match self {
            Self::StatusCheck(_) => (5, 24),
            _ => (5, 26),
        }
    }
}

fn copies(topology: Topology, say_none: bool) -> String {
    let plural = |count: u8, one: &str, many: &str| format!(" {count} {}", if count == 1 { one } else { many });
    let mut text = plural(topology.primaries, "PRIMARY", "PRIMARIES");
    if topology.secondaries > 0 || say_none {
        text.push_str(&plural(topology.secondaries, "SECONDARY", "SECONDARIES"));
    }
    text
}

// === the escaper ===

/// A name in backticks, its own backticks doubled.
pub fn identifier(name: &str) -> Result<String, BoltError> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(BoltError::new(
            ErrorKind::Invalid,
            format!("{name:?} cannot be a name in Cypher"),
        ));
    }
    // Cypher reads \uXXXX escapes everywhere, also inside backticks; a backslash would smuggle one in.
    if name.contains('\\') {
        return Err(BoltError::new(
            ErrorKind::Invalid,
            format!("{name:?}: a name cannot contain a backslash"),
        ));
    }
    Ok(format!("`{}`", name.replace('`', "``")))
}

/// A string literal.
pub fn literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 2);
    escaped.push('\'');
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\'' => escaped.push_str("\\'"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            control if control.is_control() => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(control));
            }
            other => escaped.push(other),
        }
    }
    escaped.push('\'');
    escaped
}

/// A server id as a literal; anything but a UUID is refused.
fn server_literal(id: &str) -> Result<String, BoltError> {
    match uuid::Uuid::try_parse(id) {
        Ok(uuid) if uuid.hyphenated().to_string().eq_ignore_ascii_case(id) => Ok(format!("'{id}'")),
        _ => Err(BoltError::new(
            ErrorKind::Invalid,
            format!("{id:?} is not the id of a server"),
        )),
    }
}

fn literal_of(value: &Value) -> Result<String, BoltError> {
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) if number.is_finite() => format!("{number:?}"),
        Value::Float(number) => {
            return Err(BoltError::new(
                ErrorKind::Invalid,
                format!("{number} has no literal in Cypher"),
            ));
        }
        Value::Text(text) => literal(text),
        Value::List(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(literal_of).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Map(entries) => {
            let entries: Result<Vec<_>, BoltError> = entries
                .iter()
                .map(|(key, value)| Ok(format!("{}: {}", identifier(key)?, literal_of(value)?)))
                .collect();
            format!("{{{}}}", entries?.join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads one literal as Cypher does; answers the text and what is left behind it.
    fn read_literal(source: &str) -> Option<(String, &str)> {
        let mut chars = source.strip_prefix('\'')?.char_indices();
        let mut text = String::new();
        while let Some((at, character)) = chars.next() {
            match character {
                '\'' => return Some((text, &source[at + 2..])),
                '\\' => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    'r' => text.push('\r'),
                    't' => text.push('\t'),
                    'u' => {
                        let digits: String = (0..4).filter_map(|_| chars.next().map(|(_, digit)| digit)).collect();
                        text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
                    }
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
        None
    }

    /// Reads one name in backticks; answers the name and what is left behind it.
    fn read_identifier(source: &str) -> Option<(String, &str)> {
        let mut rest = source.strip_prefix('`')?;
        let mut name = String::new();
        loop {
            let end = rest.find('`')?;
            name.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('`') {
                Some(more) => {
                    name.push('`');
                    rest = more;
                }
                None => return Some((name, rest)),
            }
        }
    }

    proptest! {
        #[test]
        fn a_literal_reads_back_as_the_text_and_never_ends_early(text in any::<String>()) {
            let escaped = format!("{}, tail", literal(&text));
            let (read, rest) = read_literal(&escaped).unwrap();
            prop_assert_eq!(read, text);
            prop_assert_eq!(rest, ", tail");
        }

        #[test]
        fn a_name_reads_back_or_is_refused(name in any::<String>()) {
            if let Ok(escaped) = identifier(&name) {
                let with_tail = format!("{escaped} tail");
                let (read, rest) = read_identifier(&with_tail).unwrap();
                prop_assert_eq!(read, name);
                prop_assert_eq!(rest, " tail");
            } else {
                prop_assert!(name.is_empty() || name.contains('\\') || name.chars().any(char::is_control));
            }
        }

        #[test]
        fn only_a_uuid_is_a_server_id(id in "[0-9a-f'-]{0,40}") {
            if let Ok(quoted) = server_literal(&id) {
                prop_assert_eq!(quoted.len(), 38);
                prop_assert!(uuid::Uuid::try_parse(&id).is_ok());
            }
        }
    }

    #[test]
    fn every_sample_has_a_text() {
        let texts: Vec<_> = Command::samples()
            .iter()
            .map(|command| command.text().unwrap())
            .collect();
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn an_id_that_is_no_uuid_is_refused_before_it_is_sent() {
        let command = Command::EnableServer {
            server_id: "x' OPTIONS {}".into(),
            mode: ModeConstraint::None,
        };
        assert_eq!(command.text().unwrap_err().kind, ErrorKind::Invalid);
    }

    #[test]
    fn a_create_is_repeated_only_where_that_cannot_hurt() {
        let create = |if_not_exists, options| Command::CreateDatabase {
            name: "a".into(),
            if_not_exists,
            topology: None,
            options,
        };
        assert_eq!(create(true, Vec::new()).retry(), Retry::Idempotent);
        assert_eq!(create(false, Vec::new()).retry(), Retry::Never);
        assert_eq!(create(true, vec![("a".into(), Value::Null)]).retry(), Retry::Never);
    }
}
