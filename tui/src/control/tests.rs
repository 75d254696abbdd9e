use neo4j_operator_shared::{Kind, golden, switch::SwitchRequest};

use super::*;
use crate::{model::fixture, source::Sample};

fn switch(text: &str) -> SwitchRequest {
    serde_json::from_str(text).unwrap()
}

/// One act of each sort.
fn acts() -> Vec<Act> {
    vec![
        Act::Switch(switch(r#"{"strategy":"full","rollbackAfter":"5m"}"#)),
        Act::DryRun(switch(r#"{"strategy":"full","dryRun":true}"#)),
        Act::Cancel("sw-7".into()),
        Act::WarmUp(None),
        Act::WarmUp(Some(Kind::Pod)),
        Act::Reclaim,
    ]
}

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        retry_after: None,
        body: body.to_owned(),
    }
}

#[test]
fn acts_are_written_as_the_daemon_reads_them() {
    let text = |act: &Act| {
        let wire = wire(act);
        format!("{} {} {}", wire.method, wire.path, wire.body.unwrap_or_default())
    };
    let written: Vec<_> = acts().iter().map(text).collect();
    assert_eq!(
        written,
        [
            r#"PUT /v1/cache/strategy {"strategy":"full","dryRun":false,"rollbackAfter":"5m"}"#,
            r#"PUT /v1/cache/strategy {"strategy":"full","dryRun":true}"#,
            "DELETE /v1/cache/strategy/sw-7 ",
            "POST /v1/cache/warmup {}",
            r#"POST /v1/cache/warmup {"kinds":["pods"]}"#,
            "POST /v1/memory/gc {}",
        ]
    );
    assert_eq!(
        wire(&Act::Cancel("../x?y".into())).path,
        "/v1/cache/strategy/%2E%2E%2Fx%3Fy"
    );
}

#[test]
fn the_answers_of_a_daemon_are_read() {
    let goldens = [
        (golden::OPERATION, 202),
        (golden::DRY_RUN, 200),
        (golden::OPERATION, 200),
        (golden::WARMUPS, 202),
        (golden::WARMUPS, 200),
        (golden::RECLAIM, 200),
    ];
    for (act, (body, status)) in acts().iter().zip(goldens) {
        assert!(read(act, &reply(status, body)).is_ok(), "{}", act.name());
    }
    assert_eq!(
        read(&Act::Cancel("sw-7".into()), &reply(204, "")),
        Ok(Answer::Cancelled(None))
    );
}

#[test]
fn a_refusal_says_status_reason_and_when_to_try_again() {
    let problem = Problem::new(429, "Too Many Requests", "the last change began 3 s ago");
    let mut limited = reply(429, &serde_json::to_string(&problem).unwrap());
    limited.retry_after = Some(7);
    assert_eq!(
        read(&Act::Reclaim, &limited),
        Err(Refusal {
            code: Some(429),
            detail: "the last change began 3 s ago".into(),
            retry_after: Some(7),
        })
    );
    let detail = |status, body| read(&Act::Reclaim, &reply(status, body)).unwrap_err().detail;
    assert_eq!(detail(502, "<html>"), "Bad Gateway");
    assert!(detail(404, "").contains("older version"));
    assert!(detail(401, "").contains("--token-file"));
    assert!(detail(200, "[]").contains("the daemon took it"));
}

fn control(read_only: bool, report: LinkReport) -> (Control, mpsc::Receiver<Answered>) {
    let target = Target {
        url: "http://127.0.0.1:9".into(), // nothing is ever sent there
        metrics_url: None,
        token: None,
        token_file: None,
    };
    let (answers, answered) = mpsc::channel(8);
    (
        Control::new(target, read_only, watch::channel(report).1, answers),
        answered,
    )
}

/// The second lock by itself: whatever asks for an act in read-only mode, it does not leave.
#[tokio::test(start_paused = true)]
async fn in_read_only_mode_nothing_that_changes_the_daemon_is_sent() {
    let sample = fixture::sample(Instant::now(), 0);
    let mut status = sample.status.clone();
    status.read_only = true;
    let read_only = LinkReport::Up(Arc::new(Sample { status, ..sample }));
    for (ours, report) in [(true, LinkReport::Connecting), (false, read_only)] {
        let (control, mut answered) = control(ours, report);
        for act in acts().into_iter().filter(Act::changes) {
            let name = act.name();
            control.send(1, act);
            let refusal = answered.recv().await.unwrap().result.unwrap_err();
            assert!(refusal.detail.ends_with("nothing was sent"), "{name}: {refusal:?}");
        }
        let only: Vec<_> = acts().into_iter().filter(|act| control.lock(act).is_none()).collect();
        assert_eq!(only.len(), 1);
        assert!(wire(&only[0]).body.unwrap().contains(r#""dryRun":true"#));
    }
}

#[tokio::test(start_paused = true)]
async fn a_repetition_of_what_got_no_answer_has_the_same_key_and_nothing_else_has() {
    let (control, _answered) = control(false, LinkReport::Connecting);
    let open = |act: Act| {
        *control.unanswered.lock().unwrap() = Some(Unanswered {
            act,
            key: "k".into(),
            at: Instant::now(),
        });
    };
    open(Act::Reclaim);
    assert_eq!(control.key(&Act::Reclaim), "k");
    assert_ne!(control.key(&Act::Reclaim), "k", "once");
    open(Act::Reclaim);
    assert_ne!(control.key(&Act::WarmUp(None)), "k");
    open(Act::Reclaim);
    tokio::time::advance(REPEAT).await;
    assert_ne!(control.key(&Act::Reclaim), "k", "too late");
}
