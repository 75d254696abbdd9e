//! A real server as the oracle of the grammar: Community reads every Enterprise command before it refuses it.
//!
//! `tests/neo4j/grammar.tsv` holds statements with the verdict of a real server: what the operator emits, more that
//! is right, and near misses. The fake answers all of it alike; the real server is asked whether the file is still
//! true. After a change of statements or of the server's version, the file is written anew by
//!
//! ```sh
//! GRAMMAR=write NEO4J_SERVER=$(tests/neo4j/build.sh) TARGET=real \
//!     cargo test -p neo4j-operator-tests --test bolt -- grammar
//! ```

use std::{fmt::Write as _, fs, path::PathBuf};

use neo4j_devcluster::neo4j::{
    failure::code,
    model::Edition,
    statement::Statement,
    value::{Value, ValueMap},
};
use neo4j_operator::neo4j::Command;

use super::{
    peer::{Peer, is_real},
    raw::Raw,
};

/// The release of the server that gave the verdicts.
const RELEASE: (u16, u16) = (5, 26);
/// Near misses that there must be at least.
const MISSES: usize = 60;
const SYNTAX_ERROR: &str = "ClientError.Statement.SyntaxError";
const PROCEDURE_NOT_FOUND: &str = "ClientError.Procedure.ProcedureNotFound";

/// A part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// What the operator emits.
    Operator,
    /// More that is right.
    Right,
    /// What is nearly right.
    Miss,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    part: Part,
    /// `OK`, or the code without `Neo.`.
    verdict: String,
    statement: String,
}

impl Part {
    const ALL: [Self; 3] = [Self::Operator, Self::Right, Self::Miss];

    const fn heading(self) -> &'static str {
        match self {
            Self::Operator => "## emitted by the operator",
            Self::Right => "## right",
            Self::Miss => "## nearly right",
        }
    }
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("neo4j/grammar.tsv")
}

fn read() -> Vec<Line> {
    let text = fs::read_to_string(file()).unwrap();
    let mut part = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with('#') {
            part = Part::ALL.into_iter().find(|part| part.heading() == line).or(part);
            continue;
        }
        let (verdict, statement) = line.split_once('\t').expect("verdict, tab, statement");
        lines.push(Line {
            part: part.expect("a heading"),
            verdict: verdict.to_owned(),
            statement: statement.to_owned(),
        });
    }
    lines
}

fn write(lines: &[Line]) {
    let mut text = format!(
        "# Verdicts of Neo4j Community {}, in this order on a fresh server; written by tests/tests/bolt/grammar.rs\n",
        super::peer::VERSION
    );
    for part in Part::ALL {
        writeln!(text, "{}", part.heading()).unwrap();
        for line in lines.iter().filter(|line| line.part == part) {
            writeln!(text, "{}\t{}", line.verdict, line.statement).unwrap();
        }
    }
    fs::write(file(), text).unwrap();
}

/// What the operator emits: valid in [`RELEASE`], and what only later servers know.
fn emitted() -> (Vec<String>, Vec<String>) {
    let (now, later): (Vec<_>, Vec<_>) = Command::samples()
        .into_iter()
        .partition(|command| command.since() <= RELEASE);
    let texts = |commands: Vec<Command>| {
        let texts = commands.iter().map(|command| command.text().unwrap().into_owned());
        texts.collect()
    };
    (texts(now), texts(later))
}

/// Values for every parameter of the file.
fn parameters() -> ValueMap {
    let texts = ["a", "b", "id", "name", "old", "password"].map(|name| (name, Value::from("unlikely-name")));
    let others = [
        ("ms", Value::Int(5)),
        ("options", Value::Map(ValueMap::new())),
        ("p", Value::Int(1)),
        ("s", Value::Int(0)),
    ];
    let all = texts.into_iter().chain(others);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn verdict(raw: &mut Raw, statement: &str) -> String {
    match raw.query_with("system", statement, parameters()).await {
        Ok(_) => "OK".to_owned(),
        Err(failure) => failure.short().to_owned(),
    }
}

/// The lines on which a server disagrees.
async fn disagreements(peer: &Peer, lines: &[Line]) -> Vec<String> {
    let mut raw = peer.raw().await;
    let mut wrong = Vec::new();
    for line in lines {
        let verdict = verdict(&mut raw, &line.statement).await;
        if verdict != line.verdict {
            wrong.push(format!("{}: {verdict}, not {}", line.statement, line.verdict));
        }
    }
    wrong
}

#[test]
fn the_file_holds_what_is_emitted_and_enough_of_what_is_not() {
    let lines = read();
    let (emitted, _) = emitted();
    let listed: Vec<_> = lines.iter().filter(|line| line.part == Part::Operator).collect();
    let texts: Vec<_> = listed.iter().map(|line| &line.statement).collect();
    assert_eq!(
        texts,
        emitted.iter().collect::<Vec<_>>(),
        "write the file anew, see above"
    );
    for line in &lines {
        let refused = line.verdict == SYNTAX_ERROR;
        assert_eq!(refused, line.part == Part::Miss, "{line:?}");
    }
    let misses = lines.iter().filter(|line| line.part == Part::Miss).count();
    assert!(misses >= MISSES, "{misses}");
}

#[test]
fn an_enterprise_fake_reads_what_the_real_server_reads() {
    let mut wrong = Vec::new();
    for line in read() {
        let read = Statement::parse(&line.statement);
        let refused = matches!(&read, Err(failure) if failure.code == code::SYNTAX);
        if refused != (line.verdict == SYNTAX_ERROR) {
            wrong.push(format!("{}: {read:?}", line.statement));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let (_, later) = emitted();
    for statement in later {
        assert!(Statement::parse(&statement).is_ok(), "{statement}");
    }
}

#[tokio::test]
async fn a_community_fake_gives_the_verdicts_of_the_real_server() {
    let (peer, _) = Peer::fake(Edition::Community).await;
    let wrong = disagreements(&peer, &read()).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn the_real_server_still_gives_these_verdicts() {
    if !is_real() {
        // Without one there is the file, which the two tests above hold the fake to.
        return;
    }
    let peer = Peer::start(Edition::Community).await;
    let mut lines = read();
    let (now, later) = emitted();
    if std::env::var("GRAMMAR").as_deref() == Ok("write") {
        lines.retain(|line| line.part != Part::Operator);
        let operator = now.into_iter().map(|statement| Line {
            part: Part::Operator,
            verdict: String::new(),
            statement,
        });
        lines = operator.chain(lines).collect();
        let mut raw = peer.raw().await;
        for line in &mut lines {
            line.verdict = verdict(&mut raw, &line.statement).await;
        }
        write(&lines);
        return;
    }
    let wrong = disagreements(&peer, &lines).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    for statement in later {
        println!("unproven, only later servers know it: {statement}");
    }
    let nameless = lines.iter().filter(|line| line.part == Part::Operator);
    for line in nameless.filter(|line| line.verdict == PROCEDURE_NOT_FOUND) {
        println!(
            "proven but for the procedure, which Community lacks: {}",
            line.statement
        );
    }
}
