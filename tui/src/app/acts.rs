//! Acts: what the daemon can be asked to do, what it answered, and the line that says so.

use neo4j_operator_shared::{
    Kind,
    cache::Warmups,
    memory::Reclaim,
    switch::{DryRun, Operation, SwitchRequest},
};
use tokio::time::Instant;

use super::{App, Effect};
use crate::model::{
    mark::{Mark, What},
    switching,
    text::clean,
    warmup,
};

/// Something that the daemon is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Change the strategy.
    Switch(SwitchRequest),
    /// Say what a change would bring.
    DryRun(SwitchRequest),
    /// Cancel the change with this id.
    Cancel(String),
    /// Warm this kind, or every kind that is kept.
    WarmUp(Option<Kind>),
    /// Give memory back.
    Reclaim,
}

/// What the daemon answered to an act that it took.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The change began.
    Switching(Box<Operation>),
    /// What it would bring.
    Forecast(Box<DryRun>),
    /// The change was cancelled; how it stands, if the daemon says.
    Cancelled(Option<Box<Operation>>),
    /// What is warmed.
    Warming(Warmups),
    /// What the reclaim did.
    Reclaimed(Box<Reclaim>),
}

/// Why an act was not done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Status of the answer, if there was one.
    pub code: Option<u16>,
    /// Why, for people.
    pub detail: String,
    /// Seconds after which it may be tried again, if the daemon says so.
    pub retry_after: Option<u64>,
}

/// The end of an act.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The number it was sent with.
    pub id: u64,
    /// When the answer was there.
    pub at: Instant,
    /// The answer.
    pub result: Result<Answer, Refusal>,
}

/// What the line above the answer of the page says.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Something for people, and whether it is bad.
    Text {
        /// The text.
        text: String,
        /// Whether something was refused or went wrong.
        bad: bool,
    },
    /// How far the change of strategy is.
    Switching,
    /// How far the warm-up is.
    Warming,
}

impl Act {
    /// Whether it changes anything: all but a dry run.
    pub const fn changes(&self) -> bool {
        !matches!(self, Self::DryRun(_))
    }

    /// What it is called.
    pub fn name(&self) -> String {
        match self {
            Self::Switch(request) => format!("switch to {}{}", request.strategy, of_kinds(request)),
            Self::DryRun(request) => format!("dry run of {}{}", request.strategy, of_kinds(request)),
            Self::Cancel(id) => format!("cancel {id}"),
            Self::WarmUp(None) => "warm-up".to_owned(),
            Self::WarmUp(Some(kind)) => format!("warm-up of {kind}"),
            Self::Reclaim => "reclaim".to_owned(),
        }
    }
}

fn of_kinds(request: &SwitchRequest) -> String {
    request.kinds.as_ref().map_or_else(String::new, |kinds| {
        let names: Vec<_> = kinds.iter().map(|kind| kind.plural()).collect();
        format!(" for {}", names.join(", "))
    })
}

impl Notice {
    /// Something that went wrong.
    pub fn bad(text: impl Into<String>) -> Self {
        Self::Text {
            text: text.into(),
            bad: true,
        }
    }

    /// Something to know.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::Text {
            text: text.into(),
            bad: false,
        }
    }
}

impl App {
    /// Why nothing may be changed, if so.
    pub fn read_only_reason(&self) -> Option<&'static str> {
        if self.read_only {
            return Some("neotop was started with --read-only");
        }
        let daemon = self.model.sample.as_ref().is_some_and(|sample| sample.status.read_only);
        daemon.then_some("the daemon is in read-only mode")
    }

    /// Sends an act, unless it may not be sent or the last one of its sort is not answered yet.
    pub(super) fn send(&mut self, act: Act) -> Vec<Effect> {
        let draw = Effect::Draw { at_once: true };
        if let Some(reason) = self.read_only_reason().filter(|_| act.changes()) {
            self.refuse(&act.name(), reason);
            return vec![draw];
        }
        let same = |(_, pending): &(u64, Act)| std::mem::discriminant(pending) == std::mem::discriminant(&act);
        if self.pending.iter().any(same) {
            self.notice = Some(Notice::bad(format!(
                "{}: still waiting for the answer to the last one",
                act.name()
            )));
            return vec![draw];
        }
        self.sent += 1;
        self.pending.push((self.sent, act.clone()));
        vec![Effect::Send(self.sent, act), draw]
    }

    /// Says that an act is not sent in read-only mode.
    pub(super) fn refuse(&mut self, what: &str, reason: &str) {
        self.notice = Some(Notice::bad(format!("READ-ONLY: {what} is not sent, {reason}")));
    }

    /// Takes the end of an act.
    pub(super) fn answered(&mut self, answered: Answered) -> Vec<Effect> {
        let Some(index) = self.pending.iter().position(|(id, _)| *id == answered.id) else {
            return Vec::new();
        };
        let (_, act) = self.pending.remove(index);
        if act.changes() && answered.result.is_ok() {
            self.model.mark(Mark {
                at: answered.at,
                what: What::You,
            });
        }
        match answered.result {
            Ok(answer) => self.take(act, answer, answered.at),
            Err(refusal) => self.notice = Some(Notice::bad(refusal.line(&act.name()))),
        }
        // The user waits for this: it is shown even while the screen stands still.
        vec![Effect::AskAgain, Effect::Draw { at_once: true }]
    }

    fn take(&mut self, act: Act, answer: Answer, at: Instant) {
        self.notice = Some(match answer {
            Answer::Switching(operation) => {
                // What would have changed is changing: the dry run says nothing any more.
                self.cache.dry_run = None;
                switching::take(&mut self.model.switching, at, Some(&operation));
                Notice::Switching
            }
            Answer::Forecast(forecast) => {
                let kinds: Vec<_> = forecast.kinds.iter().map(|kind| kind.plural()).collect();
                let change = if kinds.is_empty() {
                    "nothing would change".to_owned()
                } else {
                    format!("would change {}", kinds.join(", "))
                };
                let verdict = clean(&forecast.forecast.verdict);
                let text = format!("{}: {change}; {verdict}", act.name());
                if let Act::DryRun(request) = act {
                    self.cache.dry_run = Some((request, forecast));
                }
                Notice::plain(text)
            }
            Answer::Cancelled(operation) => {
                match (operation, &act) {
                    (Some(operation), _) => switching::take(&mut self.model.switching, at, Some(&operation)),
                    (None, Act::Cancel(id)) => switching::event(
                        &mut self.model.switching,
                        id,
                        neo4j_operator_shared::switch::OperationState::Cancelled,
                        "asked for here",
                    ),
                    (None, _) => {}
                }
                Notice::Switching
            }
            Answer::Warming(warmups) => {
                self.model.warmup = warmup::begin(&warmups);
                Notice::Warming
            }
            Answer::Reclaimed(reclaim) => Notice::plain(format!(
                "reclaim #{}: {} in {:.1} ms",
                reclaim.id,
                clean(&reclaim.message),
                reclaim.seconds * 1e3
            )),
        });
    }

    /// The line about acts: whether it is bad, and the text; absent when there is nothing to say.
    pub fn notice_line(&self) -> Option<(bool, String)> {
        if let Some((_, act)) = self.pending.last() {
            return Some((false, format!("{}: asked, waiting for the answer", act.name())));
        }
        match self.notice.as_ref()? {
            Notice::Text { text, bad } => Some((*bad, text.clone())),
            Notice::Warming => Some((false, warmup::line(&self.model.warmup))),
            Notice::Switching => {
                let switching = self.model.switching.as_ref()?;
                let state = switching.operation.state;
                let bad = switching::ended(state) && !state.swapped();
                Some((bad, clean(&format!("switch {}", switching.line()))))
            }
        }
    }
}

impl Refusal {
    /// One line: what was refused, by what status, why, and when to try again.
    fn line(&self, what: &str) -> String {
        let code = self.code.map_or_else(String::new, |code| format!(" ({code})"));
        // The operator's own words say it too, as a rule, and more exactly.
        let again = self
            .retry_after
            .filter(|_| !self.detail.contains("again in"))
            .map_or_else(String::new, |seconds| format!("; try again in {seconds} s"));
        format!("{what} refused{code}: {}{again}", clean(&self.detail))
    }
}
