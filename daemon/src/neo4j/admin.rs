//! Typed admin commands, and what their answers say.
//!
//! Rows are decoded here and nowhere else. A database is the set of its allocations: its state is folded from
//! all of them ([`fold_databases`]), for the first row alone says nothing about the others.

use std::collections::BTreeMap;

use super::{
    cluster::{ClusterClient, Member},
    driver::{Row, Value},
    error::BoltError,
    statements::{Command, ModeConstraint, Topology},
};

/// One server as `SHOW SERVERS` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerRow {
    /// Its id, for every command on it.
    pub server_id: String,
    /// Its name; the id unless somebody named it.
    pub name: String,
    /// The Bolt address that it advertises; null once it is being deallocated.
    pub address: Option<String>,
    /// `Free`, `Enabled`, `Cordoned`, `Deallocating`, `Deallocated` or `Dropped`.
    pub state: String,
    /// `Available` or `Unavailable`: only whether it was heard of lately.
    pub health: String,
    /// Databases that it hosts.
    pub hosting: Vec<String>,
    /// Databases that it shall host.
    pub requested_hosting: Vec<String>,
    /// `NONE`, `PRIMARY` or `SECONDARY`.
    pub mode_constraint: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Version of Neo4j.
    pub version: Option<String>,
}

/// One copy of one database as `SHOW DATABASES` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllocationRow {
    /// The database.
    pub name: String,
    /// `system`, `standard` or `composite`.
    pub kind: String,
    /// `read-write` or `read-only`.
    pub access: String,
    /// Address of the server that has the copy.
    pub address: Option<String>,
    /// Id of that server.
    pub server_id: Option<String>,
    /// `primary`, `secondary` or `unknown`.
    pub role: Option<String>,
    /// Whether this copy takes the writes.
    pub writer: bool,
    /// What it shall be: `online` or `offline`.
    pub requested_status: String,
    /// What it is.
    pub current_status: String,
    /// Why it is not what it shall be.
    pub status_message: String,
    /// Whether it is the default database.
    pub default: bool,
    /// Primaries there are.
    pub current_primaries: Option<i64>,
    /// Secondaries there are.
    pub current_secondaries: Option<i64>,
    /// Primaries there shall be; may be null for `system`.
    pub requested_primaries: Option<i64>,
    /// Secondaries there shall be; may be null for `system`.
    pub requested_secondaries: Option<i64>,
    /// Last transaction of this copy.
    pub last_committed_txn: Option<i64>,
    /// How many transactions it is behind.
    pub replication_lag: Option<i64>,
}

/// One database, folded from all its allocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseView {
    /// Its name.
    pub name: String,
    /// `system`, `standard` or `composite`.
    pub kind: String,
    /// `read-write` or `read-only`.
    pub access: String,
    /// Whether it is the default database.
    pub default: bool,
    /// `online` or `offline`.
    pub requested_status: String,
    /// The status that all copies have, else `mixed`.
    pub status: String,
    /// Messages of the copies that have one, without repetition.
    pub messages: Vec<String>,
    /// Topology asked for, where the server tells it.
    pub requested: Option<Topology>,
    /// Copies there are, by role.
    pub current: Topology,
    /// Its copies.
    pub allocations: Vec<AllocationRow>,
}

/// A copy's answer to a status check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationRow {
    /// The database.
    pub database: String,
    /// Id of the server.
    pub server_id: String,
    /// Whether the check was replicated to it.
    pub successful: bool,
    /// What it is in the Raft group, where it told.
    pub member_status: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

/// What `CREATE DATABASE` shall make.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDatabase {
    /// Its name.
    pub name: String,
    /// Whether one of that name is fine.
    pub if_not_exists: bool,
    /// Its copies; the cluster's defaults without it.
    pub topology: Option<Topology>,
    /// Options by key.
    pub options: Vec<(String, Value)>,
}

// === impl DatabaseView ===

impl DatabaseView {
    /// Every copy is online, there is a writer, and nothing is on its way.
    pub fn is_online(&self) -> bool {
        self.status == "online" && self.allocations.iter().any(|row| row.writer)
    }

    /// Every copy is offline.
    pub fn is_offline(&self) -> bool {
        self.status == "offline"
    }

    /// Copies are where and how many they were asked to be, and none is on its way.
    pub fn is_settled(&self) -> bool {
        self.requested.is_none_or(|requested| requested == self.current)
            && self
                .allocations
                .iter()
                .all(|row| row.current_status == row.requested_status)
    }

    fn of(name: String, allocations: Vec<AllocationRow>) -> Option<Self> {
        let first = allocations.first()?.clone();
        let same = |get: fn(&AllocationRow) -> &str| {
            let value = get(&first);
            if allocations.iter().all(|row| get(row) == value) {
                value.to_owned()
            } else {
                "mixed".to_owned()
            }
        };
        let mut messages: Vec<String> = Vec::new();
        for row in &allocations {
            if !row.status_message.is_empty() && !messages.contains(&row.status_message) {
                messages.push(row.status_message.clone());
            }
        }
        let count = |role: &str| {
            let rows = allocations.iter().filter(|row| row.role.as_deref() == Some(role));
            rows.count().min(usize::from(u8::MAX)) as u8
        };
        let number = |value: Option<i64>| value.and_then(|value| u8::try_from(value).ok());
        let requested = allocations.iter().find_map(|row| {
            Some(Topology {
                primaries: number(row.requested_primaries)?,
                secondaries: number(row.requested_secondaries)?,
            })
        });
        Some(Self {
            kind: first.kind.clone(),
            access: same(|row| &row.access),
            default: allocations.iter().any(|row| row.default),
            requested_status: same(|row| &row.requested_status),
            status: same(|row| &row.current_status),
            messages,
            requested,
            current: Topology {
                primaries: count("primary"),
                secondaries: count("secondary"),
            },
            name,
            allocations,
        })
    }
}

/// Databases by name, each folded from all its allocations.
pub fn fold_databases(rows: Vec<AllocationRow>) -> BTreeMap<String, DatabaseView> {
    let mut by_name: BTreeMap<String, Vec<AllocationRow>> = BTreeMap::new();
    for row in rows {
        by_name.entry(row.name.clone()).or_default().push(row);
    }
    by_name
        .into_iter()
        .filter_map(|(name, rows)| Some((name.clone(), DatabaseView::of(name, rows)?)))
        .collect()
}

// === decoding ===

fn text(row: &Row, column: &str) -> Result<String, BoltError> {
    Ok(row.text(column)?.unwrap_or_default().to_owned())
}

fn optional(row: &Row, column: &str) -> Result<Option<String>, BoltError> {
    Ok(row.text(column)?.filter(|text| !text.is_empty()).map(str::to_owned))
}

fn server(row: &Row) -> Result<ServerRow, BoltError> {
    Ok(ServerRow {
        server_id: row.required("serverId")?.to_owned(),
        name: text(row, "name")?,
        address: optional(row, "address")?,
        state: row.required("state")?.to_owned(),
        health: text(row, "health")?,
        hosting: row.texts("hosting")?,
        requested_hosting: row.texts("requestedHosting")?,
        mode_constraint: text(row, "modeConstraint")?,
        tags: row.texts("tags")?,
        version: optional(row, "version")?,
    })
}

fn allocation(row: &Row) -> Result<AllocationRow, BoltError> {
    Ok(AllocationRow {
        name: row.required("name")?.to_owned(),
        kind: text(row, "type")?,
        access: text(row, "access")?,
        address: optional(row, "address")?,
        server_id: optional(row, "serverID")?,
        role: optional(row, "role")?,
        writer: row.bool("writer")?,
        requested_status: text(row, "requestedStatus")?,
        current_status: text(row, "currentStatus")?,
        status_message: text(row, "statusMessage")?,
        default: row.bool("default")?,
        current_primaries: row.int("currentPrimariesCount")?,
        current_secondaries: row.int("currentSecondariesCount")?,
        requested_primaries: row.int("requestedPrimariesCount")?,
        requested_secondaries: row.int("requestedSecondariesCount")?,
        last_committed_txn: row.int("lastCommittedTxn")?,
        replication_lag: row.int("replicationLag")?,
    })
}

fn replication(row: &Row) -> Result<ReplicationRow, BoltError> {
    Ok(ReplicationRow {
        database: row.required("database")?.to_owned(),
        server_id: text(row, "serverId")?,
        successful: row.bool("replicationSuccessful")?,
        member_status: optional(row, "memberStatus")?,
        error: optional(row, "error")?,
    })
}

// === commands ===

impl ClusterClient {
    /// Every server.
    pub async fn servers(&self) -> Result<Vec<ServerRow>, BoltError> {
        self.read(&Command::ShowServers).await?.0.iter().map(server).collect()
    }

    /// Every server, as this one sees it.
    pub async fn servers_seen_by(&self, member: &Member) -> Result<Vec<ServerRow>, BoltError> {
        let rows = self.execute_on(member, &Command::ShowServers).await?;
        rows.0.iter().map(server).collect()
    }

    /// Every allocation of every database.
    pub async fn databases(&self) -> Result<Vec<AllocationRow>, BoltError> {
        let rows = self.read(&Command::ShowDatabases).await?;
        rows.0.iter().map(allocation).collect()
    }

    /// Whether these databases replicate. Not for databases with one primary.
    pub async fn status_check(&self, databases: &[&str]) -> Result<Vec<ReplicationRow>, BoltError> {
        let names = databases.iter().map(|&name| name.to_owned()).collect();
        let rows = self.read(&Command::StatusCheck(names)).await?;
        rows.0.iter().map(replication).collect()
    }

    /// Version and edition of the server that answers. Where servers differ, `SHOW SERVERS` tells more.
    pub async fn components(&self) -> Result<(Vec<String>, String), BoltError> {
        let rows = self.read(&Command::Components).await?;
        match rows.0.first() {
            Some(row) => Ok((row.texts("versions")?, text(row, "edition")?)),
            None => Ok((Vec::new(), String::new())),
        }
    }

    /// The values of settings, by name; unknown ones are missing.
    pub async fn settings(&self, names: &[&str]) -> Result<BTreeMap<String, String>, BoltError> {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let rows = self.read(&Command::Settings(names)).await?;
        let pair = |row: &Row| Ok((row.required("name")?.to_owned(), text(row, "value")?));
        rows.0.iter().map(pair).collect()
    }

    /// The default numbers of copies.
    pub async fn default_topology(&self) -> Result<Option<Topology>, BoltError> {
        let rows = self.read(&Command::TopologyConfig).await?;
        let Some(row) = rows.0.first() else { return Ok(None) };
        let number = |column| Ok::<_, BoltError>(row.int(column)?.and_then(|value| u8::try_from(value).ok()));
        Ok(number("defaultPrimariesCount")?
            .zip(number("defaultSecondariesCount")?)
            .map(|(primaries, secondaries)| Topology { primaries, secondaries }))
    }

    /// A Free or Cordoned server takes part.
    pub async fn enable_server(&self, server_id: &str, mode: ModeConstraint) -> Result<(), BoltError> {
        let server_id = server_id.to_owned();
        self.change(&Command::EnableServer { server_id, mode }).await
    }

    /// Sets the default numbers of copies.
    pub async fn default_allocation(&self, topology: Topology) -> Result<(), BoltError> {
        self.change(&Command::DefaultAllocation(topology)).await
    }

    /// Creates a database; returns before it is online.
    pub async fn create_database(&self, database: &NewDatabase) -> Result<(), BoltError> {
        let NewDatabase {
            name,
            if_not_exists,
            topology,
            options,
        } = database.clone();
        self.change(&Command::CreateDatabase {
            name,
            if_not_exists,
            topology,
            options,
        })
        .await
    }

    /// Changes the numbers of copies; returns before they are there.
    pub async fn alter_topology(&self, name: &str, topology: Topology) -> Result<(), BoltError> {
        let name = name.to_owned();
        self.change(&Command::AlterTopology { name, topology }).await
    }

    /// Asks a database to go online.
    pub async fn start_database(&self, name: &str) -> Result<(), BoltError> {
        self.change(&Command::StartDatabase(name.to_owned())).await
    }

    /// Asks a database to go offline.
    pub async fn stop_database(&self, name: &str) -> Result<(), BoltError> {
        self.change(&Command::StopDatabase(name.to_owned())).await
    }

    /// Drops a database and destroys its data; one that is not there is success.
    pub async fn drop_database(&self, name: &str) -> Result<(), BoltError> {
        self.change(&Command::DropDatabase(name.to_owned())).await
    }

    async fn change(&self, command: &Command) -> Result<(), BoltError> {
        self.write(command).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(name: &str, role: &str, status: &str, writer: bool) -> AllocationRow {
        AllocationRow {
            name: name.into(),
            role: Some(role.into()),
            requested_status: "online".into(),
            current_status: status.into(),
            writer,
            requested_primaries: Some(2),
            requested_secondaries: Some(0),
            ..AllocationRow::default()
        }
    }

    #[test]
    fn a_database_is_as_good_as_all_its_copies() {
        let rows = vec![
            copy("a", "primary", "online", true),
            copy("b", "primary", "online", true),
            copy("a", "primary", "starting", false),
            copy("b", "primary", "online", false),
        ];
        let databases = fold_databases(rows);
        let a = &databases["a"];
        assert_eq!(
            (a.status.as_str(), a.is_online(), a.is_settled()),
            ("mixed", false, false)
        );
        let b = &databases["b"];
        assert_eq!(
            (b.status.as_str(), b.is_online(), b.is_settled()),
            ("online", true, true)
        );
    }

    #[test]
    fn a_database_without_a_writer_is_not_online() {
        let databases = fold_databases(vec![copy("a", "primary", "online", false)]);
        assert!(!databases["a"].is_online());
    }

    #[test]
    fn a_topology_that_is_not_reached_is_not_settled() {
        let databases = fold_databases(vec![copy("a", "primary", "online", true)]);
        assert!(databases["a"].is_online());
        assert!(!databases["a"].is_settled(), "one of two primaries");
    }
}
