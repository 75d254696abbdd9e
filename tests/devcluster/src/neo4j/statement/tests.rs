use proptest::prelude::*;

use super::*;

const ACCEPTED: &[&str] = &[
    "RETURN 1",
    "return 1 as n;",
    "SHOW SERVERS",
    "SHOW SERVERS YIELD *",
    "show servers yield name, serverId, state, health, hosting, requestedHosting, modeConstraint, version where state = 'Free'",
    "SHOW SERVERS YIELD name,hosting,requestedHosting,serverId WHERE requestedHosting <> hosting",
    "SHOW DATABASES YIELD name,address,currentStatus,requestedStatus,statusMessage WHERE currentStatus <> requestedStatus",
    "SHOW DATABASE system YIELD address, role, writer, currentStatus WHERE writer",
    "SHOW DATABASE $name YIELD name",
    "SHOW DATABASE `my-db` YIELD name, currentStatus",
    "SHOW USERS YIELD user, passwordChangeRequired",
    "SHOW USERS WITH AUTH",
    "SHOW SETTINGS 'dbms.cluster.minimum_initial_system_primaries_count' YIELD name, value",
    "SHOW SETTINGS YIELD name, value WHERE name = 'server.memory.heap.max_size'",
    "SHOW TRANSACTIONS YIELD database, elapsedTime, status, activeLockCount, metaData",
    "ENABLE SERVER '0f2f1c9c-0000-4000-8000-000000000001'",
    "ENABLE SERVER 'a' OPTIONS {modeConstraint:'PRIMARY'}",
    "ENABLE SERVER 'a' OPTIONS {modeConstraint:'SECONDARY', allowedDatabases:['a','b'], tags: ['x']}",
    "ALTER SERVER 'a' SET OPTIONS {modeConstraint:'NONE'}",
    "RENAME SERVER 'a' TO 'b'",
    "DROP SERVER 'a'",
    "DRYRUN DEALLOCATE DATABASES FROM SERVERS 'a','b'",
    "DEALLOCATE DATABASE FROM SERVER 'a'",
    "REALLOCATE DATABASES",
    "DRYRUN REALLOCATE DATABASE",
    "CREATE DATABASE foo",
    "CREATE DATABASE $name IF NOT EXISTS TOPOLOGY $p PRIMARIES $s SECONDARIES NOWAIT",
    "CREATE DATABASE $name TOPOLOGY $p PRIMARIES OPTIONS {existingData:'use', seedURI:'s3://b/x.backup'} WAIT 10 SECONDS",
    "CREATE DATABASE `foo` IF NOT EXISTS DEFAULT LANGUAGE CYPHER 25 TOPOLOGY 1 PRIMARY 1 SECONDARY OPTIONS {txLogEnrichment: 'FULL'} WAIT",
    "CREATE DATABASE foo OPTIONS $options",
    "ALTER DATABASE x SET TOPOLOGY 3 PRIMARIES 2 SECONDARIES WAIT 60 SECONDS",
    "ALTER DATABASE x IF EXISTS SET TOPOLOGY 1 PRIMARY NOWAIT",
    "ALTER DATABASE x SET ACCESS READ ONLY",
    "ALTER DATABASE x SET ACCESS READ WRITE SET TOPOLOGY 1 PRIMARY",
    "DROP DATABASE a DUMP DATA",
    "DROP DATABASE a IF EXISTS DESTROY DATA WAIT 10 SECONDS",
    "START DATABASE a",
    "STOP DATABASE `a.b` NOWAIT",
    "CREATE USER u IF NOT EXISTS SET PASSWORD $p SET PASSWORD CHANGE NOT REQUIRED SET STATUS ACTIVE SET HOME DATABASE neo4j",
    "ALTER USER u SET PASSWORD $p CHANGE NOT REQUIRED",
    "ALTER USER `u` IF EXISTS SET STATUS SUSPENDED",
    "ALTER USER u REMOVE HOME DATABASE",
    "ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO $new",
    "DROP USER u IF EXISTS",
    "CALL dbms.cluster.cordonServer('a')",
    "CALL dbms.cluster.statusCheck(['system'], 2000)",
    "CALL dbms.cluster.statusCheck([], $ms) YIELD database, serverId, replicationSuccessful, memberStatus",
    "CALL dbms.components() YIELD name, versions, edition",
    "CALL db.ping()",
    "CALL dbms.setDefaultAllocationNumbers(3, 0)",
    "CALL dbms.showTopologyGraphConfig()",
    "CALL dbms.cluster.setAutomaticallyEnableFreeServers(false)",
];

/// One of every shape that the operator sends.
const OPERATOR: &[&str] = &[
    "SHOW SERVERS YIELD serverId, name, address, state, health, hosting, requestedHosting, modeConstraint, tags, version",
    "SHOW DATABASES YIELD name, type, access, address, role, writer, requestedStatus, currentStatus, statusMessage, default, serverID, currentPrimariesCount, currentSecondariesCount, requestedPrimariesCount, requestedSecondariesCount, lastCommittedTxn, replicationLag",
    "SHOW DATABASE system YIELD address, role, writer, currentStatus WHERE writer",
    "CALL dbms.components() YIELD name, versions, edition",
    "SHOW SETTINGS 'dbms.cluster.minimum_initial_system_primaries_count' YIELD name, value",
    "CALL dbms.showTopologyGraphConfig() YIELD defaultPrimariesCount, defaultSecondariesCount",
    "CALL dbms.cluster.statusCheck(['system', 'neo4j'], 2000) YIELD database, serverId, serverName, replicationSuccessful, memberStatus, error",
    "CALL db.ping()",
    "CALL dbms.setDefaultAllocationNumbers(3, 2)",
    "CREATE DATABASE `orders.v1` NOWAIT",
    "CREATE DATABASE `orders.v1` IF NOT EXISTS TOPOLOGY 1 PRIMARY NOWAIT",
    "CREATE DATABASE `orders.v1` IF NOT EXISTS TOPOLOGY 3 PRIMARIES 2 SECONDARIES OPTIONS {`txLogEnrichment`: 'FULL'} NOWAIT",
    "ALTER DATABASE `it``s` SET TOPOLOGY 3 PRIMARIES 2 SECONDARIES NOWAIT",
    "ALTER DATABASE `neo4j` SET TOPOLOGY 1 PRIMARY 0 SECONDARIES NOWAIT",
    "START DATABASE `neo4j`",
    "STOP DATABASE `neo4j`",
    "DROP DATABASE `neo4j` IF EXISTS DESTROY DATA",
    "ENABLE SERVER '25a7efc7-d063-44b8-bdee-f23357f89f01' OPTIONS {modeConstraint: 'NONE'}",
    "ENABLE SERVER '25a7efc7-d063-44b8-bdee-f23357f89f01' OPTIONS {modeConstraint: 'PRIMARY'}",
    "ENABLE SERVER '25a7efc7-d063-44b8-bdee-f23357f89f01' OPTIONS {modeConstraint: 'SECONDARY'}",
];

const REFUSED: &[&str] = &[
    "",
    ";",
    "RETURN",
    "MATCH (n) RETURN n",
    "ENABLE SERVR 'a'",
    "ENABLE SERVER a",
    "CORDON SERVER 'a'",
    "SHOW SETTINGS 'a', YIELD name",
    "SHOW SERVERS YIELD nope",
    "SHOW SERVERS YIELD name, name",
    "SHOW SERVERS YIELD name WHERE state = 'Free'",
    "SHOW SERVERS YIELD name WHERE name = 'a' OR name = 'b'",
    "SHOW DATABASES YIELD name ORDER BY name",
    "DEALLOCATE DATABASES FROM SERVERS",
    "CREATE DATABASE",
    "CREATE DATABASE 'foo'",
    "CREATE DATABASE foo TOPOLOGY",
    "CREATE DATABASE foo TOPOLOGY 1 PRIMARY 2 PRIMARIES",
    "CREATE DATABASE foo DEFAULT LANGUAGE CYPHER 6",
    "ALTER DATABASE foo",
    "ALTER DATABASE foo SET OWNER x",
    "CREATE USER u",
    "ALTER USER u",
    "DRYRUN DROP SERVER 'a'",
    "CALL dbms.cluster.cordonServer()",
    "RETURN 'open",
    "RETURN 1; RETURN 2",
    "DROP DATABASE a DUMP",
];

#[test]
fn every_statement_of_the_corpus_is_accepted() {
    for text in ACCEPTED.iter().chain(OPERATOR) {
        if let Err(failure) = Statement::parse(text) {
            panic!("{text}\n{failure}");
        }
    }
}

#[test]
fn everything_else_is_a_syntax_error() {
    for text in REFUSED {
        match Statement::parse(text) {
            Ok(statement) => panic!("{text} was read as {statement:?}"),
            Err(failure) => assert_eq!(failure.code, code::SYNTAX, "{text}"),
        }
    }
    let unknown = Statement::parse("CALL dbms.cluster.nope()").unwrap_err();
    assert_eq!(unknown.code, code::PROCEDURE_NOT_FOUND);
}

#[test]
fn quotes_and_escapes_end_up_in_the_name() {
    assert_eq!(
        Statement::parse("START DATABASE `a``b`"),
        Ok(Statement::RunDatabase(Term::Literal("a`b".into()), true, Wait::No))
    );
    assert_eq!(
        Statement::parse(r"RENAME SERVER 'it\'s' TO 'b'"),
        Ok(Statement::RenameServer(
            Term::Literal("it's".into()),
            Term::Literal("b".into())
        ))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,80}") {
        let _ = Statement::parse(&text);
    }

    #[test]
    fn no_sequence_of_known_words_makes_the_parser_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "SHOW", "SERVERS", "YIELD", "name", ",", "WHERE", "=", "'a'", "ENABLE", "SERVER", "OPTIONS", "{", "}", "CREATE", "DATABASE",
            "x", "TOPOLOGY", "1", "PRIMARY", "WAIT", "$p", "ALTER", "SET", "DROP", "CALL", "db", ".", "ping", "(", ")", "[", "]", "-",
        ]), 0..14)
    ) {
        let _ = Statement::parse(&words.join(" "));
    }
}
