//! Faults that a test can order: at which server, at which point of a conversation, what goes wrong, how often.
//!
//! The list is asked at every point; the first rule that fits wins and is used up when its count is.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::failure::Neo4jFailure;

/// Points of a conversation at which a fault can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The connection was accepted, not a byte exchanged.
    Accept,
    /// Versions were offered.
    Handshake,
    /// HELLO was read.
    Hello,
    /// RUN was read, the statement not run.
    Run,
    /// PULL or DISCARD was read.
    Pull,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Goes on, but later.
    Delay(Duration),
    /// Never answers again, keeps the connection.
    BlackHole,
    /// Like `BlackHole`, but sends NOOPs.
    OnlyNoops,
    /// Resets the connection.
    Reset,
    /// Closes the connection.
    Close,
    /// Sends the first half of the answer, then closes.
    HalfAnswer,
    /// Answers one byte at a time with this pause between two.
    Drip(Duration),
    /// Answers with this failure; at `Run`, the statement is not run.
    Fail(Neo4jFailure),
    /// Does what was asked, then resets the connection instead of answering: the outcome is unknown to the client.
    LoseReply,
    /// At `Handshake`: claims not to share a version.
    NoCommonVersion,
}

/// One order.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Pod name or advertised host; `None` is every server.
    pub server: Option<String>,
    /// Only statements that contain this text, in any case; `None` is every statement.
    pub statement: Option<String>,
    /// Where it strikes.
    pub stage: Stage,
    /// What happens.
    pub fault: Fault,
    /// How often; `None` is until cleared.
    pub times: Option<u32>,
}

impl Rule {
    /// A rule that strikes once at any server.
    pub fn once(stage: Stage, fault: Fault) -> Self {
        Self {
            server: None,
            statement: None,
            stage,
            fault,
            times: Some(1),
        }
    }

    /// Only at this server.
    #[must_use]
    pub fn at(mut self, server: impl Into<String>) -> Self {
        self.server = Some(server.into());
        self
    }

    /// Only for statements that contain this text.
    #[must_use]
    pub fn on(mut self, statement: impl Into<String>) -> Self {
        self.statement = Some(statement.into());
        self
    }

    /// Until cleared.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    fn fits(&self, names: &[&str], stage: Stage, statement: Option<&str>) -> bool {
        let server = self.server.as_deref().is_none_or(|server| names.contains(&server));
        let text = self.statement.as_deref().is_none_or(|part| {
            statement.is_some_and(|statement| statement.to_ascii_lowercase().contains(&part.to_ascii_lowercase()))
        });
        self.stage == stage && server && text
    }
}

/// The faults of one cluster.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
}

impl Faults {
    /// Orders a fault.
    pub fn add(&self, rule: Rule) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
    }

    /// Takes all orders back.
    pub fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The fault due at this point, if any; counts as one strike. `names` are those of the server.
    pub fn strike(&self, names: &[&str], stage: Stage, statement: Option<&str>) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let at = rules.iter().position(|rule| rule.fits(names, stage, statement))?;
        let fault = rules[at].fault.clone();
        if let Some(times) = &mut rules[at].times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                rules.remove(at);
            }
        }
        Some(fault)
    }
}
