//! Logging in: the first password, wrong ones, the lock, and users as the operator manages them.

use neo4j_devcluster::neo4j::value::Value;
use neo4j_operator_tests::neo4j_server::FIRST_LOGIN;

use super::{
    peer::{Deadline, PASSWORD, Peer, editions},
    raw::{AGENT, Answer, Raw},
};

const EXPIRED: &str = "ClientError.Security.CredentialsExpired";
const ARGUMENT: &str = "ClientError.Statement.ArgumentError";
const UNAUTHORIZED: &str = "ClientError.Security.Unauthorized";
const LOCKED: &str = "ClientError.Security.AuthenticationRateLimit";

#[tokio::test]
async fn both_servers_let_the_same_people_in() {
    for edition in editions() {
        let peer = Peer::fresh(*edition).await;
        the_first_password_must_be_changed(&peer).await;
        a_login_without_its_parts_is_refused(&peer).await;
        passwords_are_set_and_checked(&peer).await;
        wrong_passwords_lock_the_user_for_a_while(&peer).await;
    }
}

async fn code(raw: &mut Raw, database: &str, text: &str) -> String {
    raw.query(database, text).await.unwrap_err().short().to_owned()
}

async fn the_first_password_must_be_changed(peer: &Peer) {
    let (mut raw, answer) = Raw::try_login(peer.address(), FIRST_LOGIN).await;
    assert_eq!(answer.success()["credentials_expired"], Value::Bool(true));
    let refused = [
        ("neo4j", "RETURN 1", EXPIRED),
        ("neo4j", "RETRUN 1", EXPIRED),
        ("system", "SHOW DATABASES", EXPIRED),
        ("system", "DROP USER nope", EXPIRED),
        ("system", "CALL dbms.components()", EXPIRED),
        // These are found before anybody asks who it is.
        (
            "system",
            "SHOW DATABASES YIELD nope",
            "ClientError.Statement.SyntaxError",
        ),
        ("system", "CALL dbms.nope()", "ClientError.Procedure.ProcedureNotFound"),
        ("nope", "RETURN 1", "ClientError.Database.DatabaseNotFound"),
    ];
    for (database, text, expected) in refused {
        assert_eq!(code(&mut raw, database, text).await, expected, "{text}");
    }
    assert_eq!(
        raw.query("system", "CALL db.ping()").await.unwrap(),
        [[Value::Bool(true)]]
    );
    let change = |from: &str, to: &str| format!("ALTER CURRENT USER SET PASSWORD FROM '{from}' TO '{to}'");
    for (from, to, why) in [
        ("wrong", PASSWORD, "Invalid principal or credentials"),
        ("neo4j", "short", "at least 8 characters"),
    ] {
        let failure = raw.query("system", &change(from, to)).await.unwrap_err();
        assert_eq!(failure.short(), ARGUMENT);
        assert!(failure.message.contains(why), "{failure:?}");
    }
    raw.query("system", &change("neo4j", PASSWORD)).await.unwrap();
    // This session began with the old password, and stays what it was.
    assert_eq!(code(&mut raw, "neo4j", "RETURN 1").await, EXPIRED);
    let mut raw = peer.raw().await;
    assert_eq!(raw.query("neo4j", "RETURN 1").await.unwrap(), [[Value::Int(1)]]);
}

async fn a_login_without_its_parts_is_refused(peer: &Peer) {
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("user_agent", AGENT), ("principal", "neo4j")], UNAUTHORIZED),
        (&[("user_agent", AGENT), ("scheme", "none")], UNAUTHORIZED),
        (&[("user_agent", AGENT), ("scheme", "weird")], UNAUTHORIZED),
        (
            &[("scheme", "basic"), ("principal", "neo4j"), ("credentials", PASSWORD)],
            "ClientError.Request.Invalid",
        ),
    ];
    for (entries, expected) in cases {
        let mut raw = Raw::connect(peer.address()).await;
        let failure = raw.hello(entries).await.failure();
        assert_eq!(failure.short(), expected, "{entries:?}: {failure:?}");
    }
}

async fn passwords_are_set_and_checked(peer: &Peer) {
    let mut raw = peer.raw().await;
    let login = async |password: &str| match Raw::try_login(peer.address(), ("u", password)).await {
        (session, Answer::Success(told)) => Ok((session, told.contains_key("credentials_expired"))),
        (_, answer) => Err(answer.failure().short().to_owned()),
    };
    let expired = async |password: &str| login(password).await.map(|(_, expired)| expired);
    raw.query("system", "CREATE USER u SET PASSWORD 'password-1'")
        .await
        .unwrap();
    assert_eq!(expired("password-1").await, Ok(true), "unless it is said");
    let again = raw
        .query("system", "CREATE USER u SET PASSWORD 'password-1'")
        .await
        .unwrap_err();
    assert!(
        again.short() == ARGUMENT && again.message.contains("already exists"),
        "{again:?}"
    );
    let quiet = "CREATE USER u IF NOT EXISTS SET PASSWORD 'password-9'";
    raw.query("system", quiet).await.unwrap();
    let change = "ALTER USER u SET PASSWORD CHANGE NOT REQUIRED";
    raw.query("system", change).await.unwrap();
    let (mut session, is_expired) = login("password-1").await.unwrap();
    assert!(!is_expired);
    let same = raw
        .query("system", "ALTER USER u SET PASSWORD 'password-1'")
        .await
        .unwrap_err();
    assert_eq!(same.short(), ARGUMENT);
    assert!(
        same.message
            .contains("Old password and new password cannot be the same."),
        "{same:?}"
    );
    raw.query("system", "ALTER USER u SET PASSWORD 'password-2'")
        .await
        .unwrap();
    assert_eq!(expired("password-2").await, Ok(false), "what was so stays so");
    assert_eq!(expired("password-1").await, Err(UNAUTHORIZED.to_owned()));
    assert_eq!(
        session.query("neo4j", "RETURN 1").await.unwrap().len(),
        1,
        "a session outlives its password"
    );
    raw.query("system", "ALTER USER u SET PASSWORD 'password-3' CHANGE REQUIRED")
        .await
        .unwrap();
    assert_eq!(expired("password-3").await, Ok(true));
    let text = "SHOW USERS YIELD user, passwordChangeRequired, suspended, home WHERE user = 'u'";
    let rows = raw.query("system", text).await.unwrap();
    assert_eq!(rows[0][..2], ["u".into(), Value::Bool(true)]);
    raw.query("system", "DROP USER u").await.unwrap();
    assert_eq!(expired("password-3").await, Err(UNAUTHORIZED.to_owned()));
    let gone = raw
        .query("system", "ALTER USER u SET PASSWORD 'password-4'")
        .await
        .unwrap_err();
    assert!(
        gone.short() == ARGUMENT && gone.message.contains("does not exist"),
        "{gone:?}"
    );
    raw.query("system", "DROP USER u IF EXISTS").await.unwrap();
}

async fn wrong_passwords_lock_the_user_for_a_while(peer: &Peer) {
    let attempt = async |user: &str, password: &str| {
        let (mut raw, answer) = Raw::try_login(peer.address(), (user, password)).await;
        let failure = match answer {
            Answer::Success(_) => return None,
            answer => answer.failure(),
        };
        assert_eq!(raw.receive().await, Answer::Closed, "a refused client is sent away");
        Some(failure.short().to_owned())
    };
    let deadline = Deadline::new("a lock that holds the right password off, too");
    loop {
        for _ in 0..3 {
            assert_eq!(attempt("neo4j", "wrong-password").await.as_deref(), Some(UNAUTHORIZED));
        }
        let (wrong, right) = (
            attempt("neo4j", "wrong-password").await,
            attempt("neo4j", PASSWORD).await,
        );
        if (wrong.as_deref(), right.as_deref()) == (Some(LOCKED), Some(LOCKED)) {
            break;
        }
        // The lock of five seconds was over before it was seen; the right password has ended the count.
        assert!(right.is_none(), "{wrong:?}, {right:?}");
        deadline.pause().await;
    }
    assert_eq!(attempt("nobody", "wrong-password").await.as_deref(), Some(UNAUTHORIZED));
    let deadline = Deadline::new("the end of the lock");
    while let Some(refused) = attempt("neo4j", PASSWORD).await {
        assert_eq!(refused, LOCKED);
        deadline.pause().await;
    }
}
