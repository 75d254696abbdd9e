//! Samples of every command, and the proof that none is missing.

use super::{Command, ModeConstraint, Topology, Value};

impl Command {
    /// One command of every shape, with every value of each option, for a server to check the grammar of.
    pub fn samples() -> Vec<Self> {
        let name = || "orders.v1".to_owned();
        let topology = |primaries, secondaries| Topology { primaries, secondaries };
        let topologies = [topology(1, 0), topology(1, 1), topology(3, 2)];
        let setting = "dbms.cluster.minimum_initial_system_primaries_count";
        let mut samples = vec![
            Self::ShowServers,
            Self::ShowDatabases,
            Self::FindLeader,
            Self::Components,
            Self::Settings(vec![setting.into()]),
            Self::Settings(vec![setting.into(), "it's".into()]),
            Self::TopologyConfig,
            Self::StatusCheck(vec!["system".into()]),
            Self::StatusCheck(vec!["system".into(), "it's".into()]),
            Self::Ping,
            Self::DefaultAllocation(topology(3, 2)),
            Self::StartDatabase(name()),
            Self::StopDatabase(name()),
            Self::DropDatabase(name()),
        ];
        samples.extend(ModeConstraint::ALL.map(|mode| Self::EnableServer {
            server_id: "25a7efc7-d063-44b8-bdee-f23357f89f01".into(),
            mode,
        }));
        for if_not_exists in [false, true] {
            for topology in [None].into_iter().chain(topologies.map(Some)) {
                for options in [Vec::new(), sample_options()] {
                    samples.push(Self::CreateDatabase {
                        name: name(),
                        if_not_exists,
                        topology,
                        options,
                    });
                }
            }
        }
        samples.extend(topologies.map(|topology| Self::AlterTopology {
            name: "it`s".into(),
            topology,
        }));
        samples
    }
}

/// `OPTIONS` with a value of every kind.
fn sample_options() -> Vec<(String, Value)> {
    let options = [
        ("existingData", Value::from("use")),
        ("seedURI", Value::from("s3://bucket/it's.backup")),
        ("null", Value::Null),
        ("flag", Value::Bool(true)),
        ("integer", Value::Int(-7)),
        ("float", Value::Float(1.5)),
        ("list", Value::List(vec!["a".into(), Value::Int(1)])),
        ("map", Value::Map(vec![("key".into(), "value".into())])),
    ];
    options.map(|(key, value)| (key.to_owned(), value)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neo4j::Operation;

    /// What a command is made of, in words. Nothing is left out by `..` or `_`: a new command, field or value does not
    /// compile until it is named here, and then it has to be among the samples.
    fn shapes(command: &Command) -> Vec<String> {
        let copies = |Topology { primaries, secondaries }: &Topology| {
            let many = |n: u8| if n < 2 { n.to_string() } else { "many".to_owned() };
            format!("{}+{}", many(*primaries), many(*secondaries))
        };
        let value = |value: &Value| match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Float(_) => "float",
            Value::Text(_) => "text",
            Value::List(_) => "list",
            Value::Map(_) => "map",
        };
        let many = |list: &[String]| if list.len() < 2 { "one" } else { "many" }.to_owned();
        match command {
            Command::ShowServers
            | Command::ShowDatabases
            | Command::FindLeader
            | Command::Components
            | Command::TopologyConfig
            | Command::Ping => Vec::new(),
            Command::Settings(names) | Command::StatusCheck(names) => vec![many(names)],
            Command::StartDatabase(name) | Command::StopDatabase(name) | Command::DropDatabase(name) => {
                assert!(!name.is_empty());
                Vec::new()
            }
            Command::EnableServer { server_id, mode } => {
                assert!(!server_id.is_empty());
                match mode {
                    ModeConstraint::None | ModeConstraint::Primary | ModeConstraint::Secondary => {
                        vec![mode.as_str().to_owned()]
                    }
                }
            }
            Command::DefaultAllocation(topology) => vec![copies(topology)],
            Command::CreateDatabase {
                name,
                if_not_exists,
                topology,
                options,
            } => {
                assert!(!name.is_empty());
                let topology = topology.as_ref().map_or("default".to_owned(), copies);
                let kinds = options.iter().map(|(_, option)| format!("option {}", value(option)));
                let shape = format!("{if_not_exists} {topology} {}", !options.is_empty());
                kinds.chain([shape]).collect()
            }
            Command::AlterTopology { name, topology } => {
                assert!(!name.is_empty());
                vec![copies(topology)]
            }
        }
    }

    #[test]
    fn the_samples_hold_every_command_with_every_value_of_its_options() {
        let samples = Command::samples();
        let mut seen: Vec<String> = Vec::new();
        for command in &samples {
            let operation = command.operation().as_str();
            let shapes = shapes(command);
            seen.push(operation.to_owned());
            seen.extend(shapes.into_iter().map(|shape| format!("{operation} {shape}")));
        }
        let mut wanted: Vec<String> = Operation::ALL
            .iter()
            .map(|operation| operation.as_str().to_owned())
            .collect();
        for operation in ["settings", "status_check"] {
            wanted.extend(["one", "many"].map(|many| format!("{operation} {many}")));
        }
        wanted.extend(ModeConstraint::ALL.map(|mode| format!("enable_server {}", mode.as_str())));
        for copies in ["1+0", "1+1", "many+many"] {
            wanted.push(format!("alter_topology {copies}"));
        }
        for copies in ["default", "1+0", "1+1", "many+many"] {
            for flags in [(true, true), (true, false), (false, true), (false, false)] {
                wanted.push(format!("create_database {} {copies} {}", flags.0, flags.1));
            }
        }
        for kind in ["null", "boolean", "integer", "float", "text", "list", "map"] {
            wanted.push(format!("create_database option {kind}"));
        }
        let missing: Vec<_> = wanted.iter().filter(|shape| !seen.contains(shape)).collect();
        assert!(missing.is_empty(), "no sample of {missing:?}");
    }
}
