//! Promises of the model, on a clock that only the test moves.

use proptest::prelude::*;

use super::*;
use crate::neo4j::{
    bolt::session::{Outcome, Run},
    failure::{Neo4jFailure, code},
    value::Value,
};

/// A cluster with a clock of its own.
struct World {
    cluster: Cluster,
    now: Duration,
}

fn boot(pod: &str, endpoints: u32, more: &[(&str, &str)]) -> Boot {
    let hosts: Vec<_> = (0..endpoints)
        .map(|n| format!("c-server-{n}.c-headless:6000"))
        .collect();
    let mut settings = BTreeMap::from([
        ("dbms.cluster.endpoints".to_owned(), hosts.join(",")),
        (
            "dbms.cluster.minimum_initial_system_primaries_count".to_owned(),
            endpoints.to_string(),
        ),
    ]);
    settings.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    Boot {
        volume: format!("pvc-{pod}"),
        pod: pod.to_owned(),
        host: format!("{pod}.c-headless"),
        version: "2025.04.0".to_owned(),
        settings,
        initial_password: Some("correct-horse".to_owned()),
        auth_disabled: false,
    }
}

impl World {
    fn new() -> Self {
        Self {
            cluster: Cluster::new("ns/c", Tuning::default(), jiff::Timestamp::UNIX_EPOCH),
            now: Duration::ZERO,
        }
    }

    fn formed(servers: u32) -> Self {
        let mut world = Self::new();
        for n in 0..servers {
            world
                .cluster
                .process_started(boot(&format!("c-server-{n}"), servers, &[]), world.now);
        }
        world.pass(30);
        world
    }

    fn add(&mut self, n: u32, founders: u32) -> String {
        let id = self
            .cluster
            .process_started(boot(&format!("c-server-{n}"), founders, &[]), self.now);
        self.pass(10);
        id
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.cluster.advance(self.now);
    }

    fn id(&self, n: u32) -> String {
        self.cluster
            .server_of_volume(&format!("pvc-c-server-{n}"))
            .unwrap()
            .id
            .clone()
    }

    fn at(&mut self, server: &str, query: &str) -> Result<Outcome, Neo4jFailure> {
        let run = Run {
            user: "neo4j".into(),
            // Each statement is the first of a session of its own.
            expired: self.cluster.users.get("neo4j").is_some_and(|user| user.change_required),
            query: query.into(),
            database: Some(SYSTEM.into()),
            write: true,
            ..Run::default()
        };
        self.cluster
            .execute(server, &run, self.now)
            .map(|executed| executed.outcome)
    }

    fn system(&mut self, query: &str) -> Result<Outcome, Neo4jFailure> {
        let leader = self.cluster.databases[SYSTEM].leader.clone().expect("a leader");
        self.at(&leader, query)
    }

    fn table(&mut self, query: &str) -> Vec<Vec<Value>> {
        self.system(query).expect(query).rows.into()
    }
}

fn texts(rows: &[Vec<Value>], column: usize) -> Vec<&str> {
    rows.iter().map(|row| row[column].as_str().unwrap_or("null")).collect()
}

#[test]
fn the_cluster_forms_once_enough_listed_servers_run_and_not_before() {
    let mut world = World::new();
    for n in 0..2 {
        world
            .cluster
            .process_started(boot(&format!("c-server-{n}"), 3, &[]), world.now);
    }
    world.pass(3600);
    assert!(!world.cluster.is_formed());
    assert!(
        world.cluster.servers.values().all(|server| !server.serving),
        "no port before formation"
    );
    world.add(2, 3);
    assert!(world.cluster.is_formed());
    let servers = world.table("SHOW SERVERS YIELD state, health");
    assert_eq!(texts(&servers, 0), ["Enabled"; 3]);
    assert_eq!(texts(&servers, 1), ["Available"; 3]);
    let online = world.table("SHOW DATABASE neo4j YIELD currentStatus, writer");
    assert_eq!(online, [[Value::from("online"), Value::Bool(true)]]);
}

#[test]
fn a_later_server_is_free_until_enabled_and_takes_a_copy_when_the_topology_grows() {
    let mut world = World::formed(3);
    let id = world.add(3, 3);
    assert_eq!(
        world.table("SHOW SERVERS YIELD name, state WHERE state = 'Free'").len(),
        1
    );
    let refused = world
        .system("ALTER DATABASE neo4j SET TOPOLOGY 4 PRIMARIES")
        .unwrap_err();
    assert!(refused.message.contains("Required topology"), "{refused}");
    world
        .system(&format!("ENABLE SERVER '{id}' OPTIONS {{modeConstraint:'NONE'}}"))
        .unwrap();
    world
        .system(&format!("ENABLE SERVER '{id}' OPTIONS {{modeConstraint:'NONE'}}"))
        .expect("idempotent");
    world
        .system("ALTER DATABASE neo4j SET TOPOLOGY 3 PRIMARIES 1 SECONDARY NOWAIT")
        .unwrap();
    let copying = world.table("SHOW DATABASE neo4j YIELD name, currentStatus WHERE currentStatus = 'store copying'");
    assert_eq!(copying.len(), 3);
    world.pass(60);
    let counts = world.table("SHOW DATABASE neo4j YIELD currentPrimariesCount, currentSecondariesCount, currentStatus");
    assert_eq!(counts, vec![vec![Value::Int(3), Value::Int(1), "online".into()]; 4]);
}

#[test]
fn a_server_is_drained_before_it_is_dropped_and_never_comes_back() {
    let mut world = World::formed(3);
    let id = world.add(3, 3);
    world.system(&format!("ENABLE SERVER '{id}'")).unwrap();
    world.system("CREATE DATABASE orders TOPOLOGY 3 PRIMARIES").unwrap();
    world.pass(60);
    let holder = world.cluster.databases["orders"]
        .copies
        .keys()
        .find(|id| **id != world.id(0))
        .unwrap()
        .clone();
    world.system("ALTER DATABASE neo4j SET TOPOLOGY 3 PRIMARIES").unwrap();
    world.pass(60);
    assert!(
        world.system(&format!("DROP SERVER '{holder}'")).is_err(),
        "not deallocated yet"
    );
    let moves = world.table(&format!("DRYRUN DEALLOCATE DATABASES FROM SERVERS '{holder}'"));
    assert!(!moves.is_empty());
    world
        .system(&format!("DEALLOCATE DATABASES FROM SERVERS '{holder}'"))
        .unwrap();
    world.pass(60);
    let state = world.table(&format!(
        "SHOW SERVERS YIELD serverId, state, hosting, address WHERE serverId = '{holder}'"
    ));
    assert_eq!(
        state[0][1..],
        ["Deallocated".into(), Value::strings(["system"]), Value::Null]
    );
    assert_eq!(world.cluster.databases["orders"].copies.len(), 3);
    world.system(&format!("DROP SERVER '{holder}'")).unwrap();
    assert!(
        world
            .system(&format!("DROP SERVER '{holder}'"))
            .unwrap_err()
            .message
            .contains("already dropped")
    );
    let back = world.system(&format!("ENABLE SERVER '{holder}'")).unwrap_err();
    assert!(
        back.message
            .contains("can't be enabled because it has been deallocated or dropped")
    );
    world.cluster.process_stopped(&holder, world.now);
    assert_eq!(world.table("SHOW SERVERS").len(), 3);
}

#[test]
fn deallocation_is_refused_for_a_single_primary_an_offline_database_and_an_impossible_topology() {
    let mut world = World::formed(3);
    let single = world.cluster.databases["neo4j"].copies.keys().next().unwrap().clone();
    let refused = world
        .system(&format!("DEALLOCATE DATABASES FROM SERVERS '{single}'"))
        .unwrap_err();
    assert!(refused.message.contains("single primary"), "{refused}");
    world.system("DROP DATABASE neo4j").unwrap();
    world.system("CREATE DATABASE three TOPOLOGY 3 PRIMARIES").unwrap();
    world.pass(10);
    let refused = world
        .system(&format!("DEALLOCATE DATABASES FROM SERVERS '{single}'"))
        .unwrap_err();
    assert!(refused.message.contains("Unable to reallocate"), "{refused}");
    world.system("STOP DATABASE three").unwrap();
    world.pass(10);
    let refused = world
        .system(&format!("DEALLOCATE DATABASES FROM SERVERS '{single}'"))
        .unwrap_err();
    assert!(refused.message.contains("offline"), "{refused}");
}

#[test]
fn without_a_majority_there_is_no_leader_and_administration_is_refused() {
    let mut world = World::formed(3);
    let leader = world.cluster.databases[SYSTEM].leader.clone().unwrap();
    world.cluster.process_stopped(&leader, world.now);
    assert_eq!(world.cluster.databases[SYSTEM].leader, None, "missed at once");
    world.pass(5);
    let next = world.cluster.databases[SYSTEM]
        .leader
        .clone()
        .expect("the other two elect");
    let follower = world
        .cluster
        .servers
        .values()
        .find(|s| s.serving && s.id != next)
        .unwrap()
        .id
        .clone();
    assert_eq!(
        world.at(&follower, "CREATE DATABASE abc").unwrap_err().code,
        code::NOT_A_LEADER
    );
    world.cluster.process_stopped(&next, world.now);
    world.pass(5);
    let refused = world.at(&follower, "CREATE DATABASE abc").unwrap_err();
    assert_eq!(refused.code, code::NOT_A_LEADER);
    assert!(refused.message.contains("majority"), "{refused}");
    let rows = world
        .at(&follower, "SHOW SERVERS YIELD health WHERE health = 'Unavailable'")
        .unwrap()
        .rows;
    assert_eq!(rows.len(), 2);
}

#[test]
fn a_restarted_pod_keeps_its_server_by_its_volume_and_a_new_volume_is_a_new_server() {
    let mut world = World::formed(3);
    let id = world.id(1);
    world.cluster.process_stopped(&id, world.now);
    world.pass(5);
    assert_eq!(world.add(1, 3), id);
    assert_eq!(world.table("SHOW SERVERS").len(), 3);
    world.cluster.process_stopped(&id, world.now);
    let other = Boot {
        volume: "another".into(),
        ..boot("c-server-1", 3, &[])
    };
    assert_ne!(world.cluster.process_started(other, world.now), id);
    world.pass(5);
    assert_eq!(world.table("SHOW SERVERS").len(), 4);
}

#[test]
fn the_initial_password_counts_on_an_empty_volume_only_and_wrong_ones_lock() {
    let mut world = World::formed(3);
    let id = world.id(0);
    let login = |world: &mut World, password: &str| world.cluster.authenticate(&id, "neo4j", password, world.now);
    assert_eq!(login(&mut world, "correct-horse"), Ok(("neo4j".into(), false)));
    world
        .system("ALTER USER neo4j SET PASSWORD 'battery-staple' CHANGE NOT REQUIRED")
        .unwrap();
    let same = world
        .system("ALTER USER neo4j SET PASSWORD 'battery-staple'")
        .unwrap_err();
    assert_eq!(same.code, code::ARGUMENT);
    for _ in 0..3 {
        assert_eq!(login(&mut world, "correct-horse").unwrap_err().code, code::UNAUTHORIZED);
    }
    assert_eq!(login(&mut world, "battery-staple").unwrap_err().code, code::RATE_LIMIT);
    world.pass(6);
    assert!(login(&mut world, "battery-staple").is_ok());
    world.cluster.process_stopped(&id, world.now);
    world.add(0, 3);
    assert!(
        login(&mut world, "battery-staple").is_ok(),
        "NEO4J_AUTH does not reset a used volume"
    );
}

#[test]
fn a_password_that_is_to_be_changed_must_be_before_anything_else() {
    let mut world = World::formed(3);
    world
        .system("ALTER USER neo4j SET PASSWORD 'battery-staple' CHANGE REQUIRED")
        .unwrap();
    assert!(world.system("CALL db.ping()").is_ok());
    assert_eq!(
        world.system("SHOW SERVERS").unwrap_err().code,
        code::CREDENTIALS_EXPIRED
    );
    world
        .system("ALTER CURRENT USER SET PASSWORD FROM 'battery-staple' TO 'correct-horse-2'")
        .unwrap();
    assert!(world.system("SHOW SERVERS").is_ok());
}

#[test]
fn many_primaries_cannot_become_one_and_one_can_become_many() {
    let mut world = World::formed(3);
    world.system("ALTER DATABASE neo4j SET TOPOLOGY 3 PRIMARIES").unwrap();
    world.pass(30);
    let refused = world.system("ALTER DATABASE neo4j SET TOPOLOGY 1 PRIMARY").unwrap_err();
    assert!(refused.message.contains("51N41"), "{refused}");
    world.system("ALTER DATABASE neo4j SET TOPOLOGY 2 PRIMARIES").unwrap();
}

#[test]
fn procedures_of_the_cluster_run_on_system_only_and_queries_anywhere_else() {
    let mut world = World::formed(1);
    let id = world.id(0);
    let run = |database: &str, query: &str| Run {
        user: "neo4j".into(),
        query: query.into(),
        database: Some(database.into()),
        write: true,
        ..Run::default()
    };
    let failure = |world: &mut World, run: Run| world.cluster.execute(&id, &run, world.now).unwrap_err().code;
    let cordon = "CALL dbms.cluster.cordonServer('a')";
    assert_eq!(failure(&mut world, run("neo4j", cordon)), code::NOT_SYSTEM);
    assert_eq!(failure(&mut world, run("system", "RETURN 1")), code::SEMANTIC);
    assert!(
        world
            .cluster
            .execute(&id, &run("neo4j", "SHOW SERVERS"), world.now)
            .is_ok()
    );
    assert_eq!(failure(&mut world, run("nope", "RETURN 1")), code::DATABASE_NOT_FOUND);
    assert_eq!(
        failure(&mut world, run("system", "CREATE DATABASE $x")),
        code::PARAMETER_MISSING
    );
}

#[derive(Debug, Clone)]
enum Step {
    Create(u32, u32, u32),
    Alter(u32, u32, u32),
    Stop(u32),
    Start(u32),
    Enable(u32),
    Cordon(u32),
    Deallocate(u32),
    Drop(u32),
    Crash(u32),
    Boot(u32),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_u32, 1..4_u32, 0..3_u32).prop_map(|(n, p, s)| Step::Create(n, p, s)),
        (0..3_u32, 1..4_u32, 0..3_u32).prop_map(|(n, p, s)| Step::Alter(n, p, s)),
        (0..3_u32).prop_map(Step::Stop),
        (0..3_u32).prop_map(Step::Start),
        (0..6_u32).prop_map(Step::Enable),
        (0..6_u32).prop_map(Step::Cordon),
        (0..6_u32).prop_map(Step::Deallocate),
        (0..6_u32).prop_map(Step::Drop),
        (0..6_u32).prop_map(Step::Crash),
        (0..6_u32).prop_map(Step::Boot),
        (0..90_u64).prop_map(Step::Pass),
    ]
}

fn take(world: &mut World, step: Step) {
    let server = |n: u32| {
        world
            .cluster
            .server_of_volume(&format!("pvc-c-server-{n}"))
            .map(|server| server.id.clone())
    };
    let statement = match step {
        Step::Pass(seconds) => return world.pass(seconds),
        Step::Crash(n) => {
            if let Some(id) = server(n) {
                world.cluster.process_stopped(&id, world.now);
            }
            return;
        }
        Step::Boot(n) => {
            world
                .cluster
                .process_started(boot(&format!("c-server-{n}"), 3, &[]), world.now);
            return;
        }
        Step::Create(n, p, s) => format!("CREATE DATABASE db{n} TOPOLOGY {p} PRIMARIES {s} SECONDARIES"),
        Step::Alter(n, p, s) => format!("ALTER DATABASE db{n} SET TOPOLOGY {p} PRIMARIES {s} SECONDARIES"),
        Step::Stop(n) => format!("STOP DATABASE db{n}"),
        Step::Start(n) => format!("START DATABASE db{n}"),
        Step::Enable(n) => format!("ENABLE SERVER '{}'", server(n).unwrap_or_default()),
        Step::Cordon(n) => format!("CALL dbms.cluster.cordonServer('{}')", server(n).unwrap_or_default()),
        Step::Deallocate(n) => format!("DEALLOCATE DATABASES FROM SERVERS '{}'", server(n).unwrap_or_default()),
        Step::Drop(n) => format!("DROP SERVER '{}'", server(n).unwrap_or_default()),
    };
    if world.cluster.databases[SYSTEM].leader.is_some() {
        let _ = world.system(&statement);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_is_done_copies_satisfy_the_topology_and_leaders_lead_a_majority(
        steps in prop::collection::vec(steps(), 1..40)
    ) {
        let mut world = World::formed(3);
        for step in steps {
            let said = format!("{step:?}");
            take(&mut world, step);
            for (name, database) in &world.cluster.databases {
                if let Some((primaries, secondaries)) = database.requested
                    && !database.copies.is_empty()
                {
                    let wanted = |mode| database.copies.values().filter(|copy| copy.mode == mode && !copy.unwanted).count();
                    prop_assert_eq!(wanted(Mode::Primary), primaries as usize, "{} after {}", name, &said);
                    prop_assert_eq!(wanted(Mode::Secondary), secondaries as usize, "{} after {}", name, &said);
                }
                if database.leader.is_some() {
                    prop_assert!(world.cluster.has_majority(name), "{} led without a majority after {}", name, &said);
                }
            }
            let mut ids: Vec<_> = world.cluster.databases.values().map(|database| &database.id).collect();
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len(), world.cluster.databases.len(), "an id twice");
        }
    }
}
