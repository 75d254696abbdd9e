//! TLS as the operator's driver speaks it: a server is trusted by the certificates that were named, and by no others.

use std::time::Duration;

use neo4j_operator::neo4j::{ErrorKind, TlsTrust};
use neo4j_operator_tests::neo4j_server::FIRST_LOGIN;

use super::peer::{PASSWORD, Peer, editions, statement};

const BUDGET: Duration = Duration::from_secs(20);

#[tokio::test]
async fn both_servers_are_trusted_by_what_was_named_and_nothing_else() {
    for edition in editions() {
        let (peer, trust) = Peer::with_tls(*edition).await;
        let change = format!(
            "ALTER CURRENT USER SET PASSWORD FROM '{}' TO '{PASSWORD}'",
            FIRST_LOGIN.1
        );
        let mut session = peer.session_over(Some(trust.clone()), FIRST_LOGIN.1).await.unwrap();
        session.execute("system", &statement(&change, BUDGET)).await.unwrap();
        let mut session = peer.session_over(Some(trust), PASSWORD).await.unwrap();
        session
            .execute("system", &statement("SHOW DATABASES YIELD name", BUDGET))
            .await
            .unwrap();

        let stranger = rcgen::generate_simple_self_signed([peer.address().ip().to_string()]).unwrap();
        let stranger = TlsTrust {
            ca_pem: stranger.cert.pem().into(),
        };
        let refused = peer.session_over(Some(stranger), PASSWORD).await.err().unwrap();
        assert_eq!(refused.kind, ErrorKind::Tls, "{refused}");
        // No password is sent to a server that wants TLS and is asked without.
        let plain = peer.session(PASSWORD).await.err().unwrap();
        assert!(
            matches!(plain.kind, ErrorKind::Connect | ErrorKind::Protocol),
            "{plain:?}"
        );
    }
}
