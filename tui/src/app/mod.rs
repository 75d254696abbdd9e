//! What keys and messages do: `update(&mut App, Msg) -> Vec<Effect>`. No I/O; effects are values that
//! [`crate::live`] carries out.

pub mod actions;

use self::actions::{ACTIONS, Action, Scope};
use crate::{
    model::Model,
    source::{LinkReport, StreamItem},
};
use crossterm::event::{Event as TermEvent, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Something that happened.
#[derive(Debug)]
pub enum Msg {
    /// A key, a resize, focus.
    Term(TermEvent),
    /// A round of questions ended.
    Link(LinkReport),
    /// Something from the event stream.
    Stream(StreamItem),
    /// Events that found the queue full, since the last such message.
    Lost(u64),
    /// Ages on the screen moved.
    Tick,
}

/// Something to be done outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Draw.
    Draw {
        /// At once (input) or with the next data frame.
        at_once: bool,
    },
    /// End the wait for the next try.
    RetryNow,
    /// Leave.
    Quit,
    /// Forget what the terminal shows before the next frame.
    Clear,
}

/// What lies over the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The list of keys.
    Help,
}

/// State of the program.
#[derive(Debug, Default)]
pub struct App {
    /// What is known of the daemon.
    pub model: Model,
    /// Whether the screen stands still. Data is still taken in.
    pub paused: bool,
    /// Whether the terminal has the focus; without it nothing is drawn.
    pub unfocused: bool,
    /// Modes, the topmost last.
    pub modes: Vec<Mode>,
    /// Lines that the Events panel is scrolled back; 0 follows.
    pub events_back: usize,
    /// First row of the clusters table that is shown.
    pub clusters_from: usize,
}

// === impl App ===

impl App {
    /// Takes a message and says what must be done.
    pub fn update(&mut self, msg: Msg) -> Vec<Effect> {
        match msg {
            Msg::Term(event) => self.input(&event),
            Msg::Link(report) => {
                self.model.link(report);
                self.data()
            }
            Msg::Stream(item) => {
                let before = self.model.events.len();
                self.model.stream(item);
                // What is being read must not move away under the reader.
                if self.events_back > 0 {
                    self.events_back += self.model.events.len().saturating_sub(before);
                }
                self.data()
            }
            Msg::Lost(count) => {
                self.model.events_lost += count;
                self.data()
            }
            Msg::Tick => self.data(),
        }
    }

    fn data(&self) -> Vec<Effect> {
        if self.paused || self.unfocused {
            Vec::new()
        } else {
            vec![Effect::Draw { at_once: false }]
        }
    }

    fn input(&mut self, event: &TermEvent) -> Vec<Effect> {
        match event {
            // Terminals with the kitty protocol, and Windows, report releases too.
            TermEvent::Key(key) if key.kind != KeyEventKind::Release => match self.action(key) {
                Some(action) => self.act(action),
                None => Vec::new(),
            },
            TermEvent::Resize(..) => vec![Effect::Clear, Effect::Draw { at_once: true }],
            TermEvent::FocusLost => {
                self.unfocused = true;
                Vec::new()
            }
            TermEvent::FocusGained => {
                self.unfocused = false;
                vec![Effect::Draw { at_once: true }]
            }
            _ => Vec::new(),
        }
    }

    fn action(&self, key: &KeyEvent) -> Option<Action> {
        let scope = if self.modes.is_empty() {
            Scope::Page
        } else {
            Scope::Help
        };
        ACTIONS
            .iter()
            .find(|row| {
                (row.scope == Scope::Global || row.scope == scope) && row.keys.iter().any(|have| have.matches(key))
            })
            .map(|row| row.action)
    }

    fn act(&mut self, action: Action) -> Vec<Effect> {
        match action {
            Action::Quit => return vec![Effect::Quit],
            Action::Retry => return vec![Effect::RetryNow],
            Action::Help => self.modes.push(Mode::Help),
            Action::Back => {
                self.modes.pop();
            }
            Action::Pause => self.paused = !self.paused,
            Action::EventsBack => {
                self.events_back = (self.events_back + 1).min(self.model.events.len().saturating_sub(1));
            }
            Action::EventsForward => self.events_back = self.events_back.saturating_sub(1),
            Action::EventsFollow => self.events_back = 0,
            Action::ClustersDown => {
                let rows = self
                    .model
                    .sample
                    .as_ref()
                    .map_or(0, |sample| sample.clusters.items.len());
                self.clusters_from = (self.clusters_from + 1).min(rows.saturating_sub(1));
            }
            Action::ClustersUp => self.clusters_from = self.clusters_from.saturating_sub(1),
        }
        vec![Effect::Draw { at_once: true }]
    }

    /// Whether an age or a countdown is on the screen, so that it must be drawn anew each second.
    pub fn ticks(&self) -> bool {
        !self.paused && !self.unfocused
    }
}

/// A key of the action table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which key.
    pub code: KeyCode,
    /// Whether Ctrl is held.
    pub ctrl: bool,
}

impl Key {
    /// A key without Ctrl.
    pub const fn plain(code: KeyCode) -> Self {
        Self { code, ctrl: false }
    }

    /// Ctrl and a letter.
    pub const fn ctrl(letter: char) -> Self {
        Self {
            code: KeyCode::Char(letter),
            ctrl: true,
        }
    }

    fn matches(self, key: &KeyEvent) -> bool {
        self.code == key.code && self.ctrl == key.modifiers.contains(KeyModifiers::CONTROL)
    }

    /// As people write it: `Space`, `C-c`, `q`.
    pub fn name(self) -> String {
        let key = match self.code {
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(char) => char.to_string(),
            KeyCode::F(n) => format!("F{n}"),
            KeyCode::Esc => "Esc".to_owned(),
            other => format!("{other:?}"),
        };
        if self.ctrl { format!("C-{key}") } else { key }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::model::fixture;

    fn press(app: &mut App, code: KeyCode) -> Vec<Effect> {
        app.update(Msg::Term(TermEvent::Key(KeyEvent::new(code, KeyModifiers::NONE))))
    }

    #[tokio::test(start_paused = true)]
    async fn paused_takes_data_in_and_draws_nothing() {
        let start = Instant::now();
        let mut app = App::default();
        press(&mut app, KeyCode::Char(' '));
        let sample = fixture::sample(start, 1);
        assert_eq!(app.update(Msg::Link(LinkReport::Up(sample.into()))), []);
        assert!(app.model.sample.is_some());
        assert_eq!(app.update(Msg::Tick), []);
        assert_eq!(press(&mut app, KeyCode::Char(' ')), [Effect::Draw { at_once: true }]);
    }

    #[test]
    fn ctrl_c_quits_from_everywhere_and_q_closes_help_first() {
        let mut app = App::default();
        press(&mut app, KeyCode::Char('?'));
        assert_eq!(app.modes, [Mode::Help]);
        assert_eq!(press(&mut app, KeyCode::Char('q')), [Effect::Draw { at_once: true }]);
        assert_eq!(app.modes, []);
        press(&mut app, KeyCode::Char('?'));
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(app.update(Msg::Term(TermEvent::Key(ctrl_c))), [Effect::Quit]);
    }

    #[test]
    fn a_released_key_does_nothing() {
        let mut app = App::default();
        let mut key = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        key.kind = KeyEventKind::Release;
        assert_eq!(app.update(Msg::Term(TermEvent::Key(key))), []);
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_come_do_not_move_what_is_being_read() {
        let mut app = App {
            model: fixture::live(Instant::now()),
            ..App::default()
        };
        press(&mut app, KeyCode::Char('k'));
        assert_eq!(app.events_back, 1);
        let event = fixture::event(9, neo4j_operator_shared::events::Severity::Info, "new");
        app.update(Msg::Stream(StreamItem::Event(Some("b1-9".into()), Box::new(event))));
        assert_eq!(app.events_back, 2);
    }
}
