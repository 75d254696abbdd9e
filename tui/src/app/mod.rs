//! What keys and messages do: `update(&mut App, Msg) -> Vec<Effect>`. No I/O; effects are values that
//! [`crate::live`] carries out. What one page does stands in a file of its own.

pub mod actions;
pub mod acts;
pub mod cache;
pub mod keys;
mod time;

use crossterm::event::{Event as TermEvent, KeyEvent, KeyEventKind};

pub use self::keys::Key;
use self::{
    actions::{ACTIONS, Action, Row, Scope},
    acts::{Act, Answered, Notice},
    cache::{CachePage, Confirm},
};
use crate::{
    model::{Link, Model, axis::Axis, pages::Trouble},
    source::{
        LinkReport, StreamItem,
        page::{Ask, PageItem},
    },
};

/// Something that happened.
#[derive(Debug)]
pub enum Msg {
    /// A key, a resize, focus.
    Term(TermEvent),
    /// A round of questions ended.
    Link(LinkReport),
    /// What only the open page shows.
    Page(PageItem),
    /// Something from the event stream.
    Stream(StreamItem),
    /// Events that found the queue full, since the last such message.
    Lost(u64),
    /// The daemon answered to an act, or did not.
    Answered(Answered),
    /// Ages on the screen moved.
    Tick,
}

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Draw.
    Draw {
        /// At once (input) or with the next data frame.
        at_once: bool,
    },
    /// End the wait for the next try.
    RetryNow,
    /// Ask for this, from now on, beside what every page shows.
    Ask(Ask),
    /// Ask for what the page shows now, without waiting for the next time.
    AskAgain,
    /// Send an act; its end comes as [`Msg::Answered`] with this number.
    Send(u64, Act),
    /// Leave.
    Quit,
    /// Forget what the terminal shows before the next frame.
    Clear,
}

/// A page. The numbers of the keys are those of all pages that there will be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// Are all goals met?
    #[default]
    Overview,
    /// Which strategy is best now, at what cost?
    Cache,
    /// A leak? What does a reclaim give?
    Memory,
}

/// What lies over the page.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// The list of keys.
    Help,
    /// Past changes of the strategy.
    History,
    /// What is behind the goals.
    Goals,
    /// Does memory leak?
    Leak,
    /// What the chosen reclaim did.
    Reclaimed,
    /// The question before a change.
    Confirm(Box<Confirm>),
}

/// State of the program.
#[derive(Debug, Default)]
pub struct App {
    /// What is known of the daemon.
    pub model: Model,
    /// The open page.
    pub page: Page,
    /// Whether nothing may be changed, by our own options.
    pub read_only: bool,
    /// Whether the screen stands still. Data is still taken in.
    pub paused: bool,
    /// Whether the terminal has the focus; without it nothing is drawn.
    pub unfocused: bool,
    /// Modes, the topmost last.
    pub modes: Vec<Mode>,
    /// Rows that the topmost sheet is scrolled down.
    pub scroll: usize,
    /// The time axis of all charts.
    pub axis: Axis,
    /// Lines that the Events panel is scrolled back; 0 follows.
    pub events_back: usize,
    /// First row of the clusters table that is shown.
    pub clusters_from: usize,
    /// The Cache page.
    pub cache: CachePage,
    /// The chosen reclaim of the Memory page; 0 is the newest.
    pub reclaim: usize,
    /// What the line about acts says.
    pub notice: Option<Notice>,
    /// Acts without an answer, with their numbers.
    pub pending: Vec<(u64, Act)>,
    /// The number of the last act that was sent.
    pub sent: u64,
}

impl Page {
    /// Every page of this version.
    pub const ALL: [Self; 3] = [Self::Overview, Self::Cache, Self::Memory];

    /// Its name.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Cache => "Cache",
            Self::Memory => "Memory",
        }
    }
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
            Msg::Page(item) => {
                self.model.page(item);
                self.data()
            }
            Msg::Answered(answered) => self.answered(answered),
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
            TermEvent::Key(key) if key.kind != KeyEventKind::Release => match self.row(key) {
                Some(row) => self.act(row),
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

    /// Where keys work now.
    pub fn place(&self) -> Scope {
        match self.modes.last() {
            None => Scope::On(self.page),
            Some(Mode::Help) => Scope::Help,
            Some(Mode::History) => Scope::History,
            Some(Mode::Goals | Mode::Leak | Mode::Reclaimed) => Scope::Sheet,
            Some(Mode::Confirm(_)) => Scope::Dialog,
        }
    }

    /// Whether an action is to be had now: what cannot be done stands in no list of keys.
    pub fn offers(&self, row: &Row) -> bool {
        let switchable = self.model.pages.strategies.trouble() != Some(&Trouble::NotOffered);
        let possible = match row.action {
            Action::Cancel => {
                let switching = self.model.switching.as_ref();
                switching.is_some_and(|switching| switching.cancellable() || switching.returnable())
            }
            Action::Choose | Action::DryRun | Action::History => switchable,
            Action::Rollback => self.read_only_reason().is_none(),
            _ => true,
        };
        possible && (row.level == 0 || self.read_only_reason().is_none())
    }

    fn row(&self, key: &KeyEvent) -> Option<&'static Row> {
        let place = self.place();
        ACTIONS
            .iter()
            .find(|row| row.scope.works_in(place) && row.keys.iter().any(|have| have.matches(key)))
    }

    fn act(&mut self, row: &'static Row) -> Vec<Effect> {
        match row.action {
            Action::Quit => return vec![Effect::Quit],
            Action::Retry => return vec![Effect::RetryNow, Effect::AskAgain],
            Action::Go(page) => return self.go(page),
            Action::Switcher => return self.open_switcher(),
            Action::Choose => return self.choose(),
            Action::DryRun => return self.dry_run(),
            Action::Cancel => return self.cancel(),
            Action::WarmUp => return self.warm_up(),
            Action::Reclaim => return self.send(Act::Reclaim),
            Action::Answer => return self.dialog_take(),
            Action::Back => return self.back(),
            Action::Goals => return self.goals(),
            Action::Help => self.open(Mode::Help),
            Action::LeakCheck => self.open(Mode::Leak),
            Action::Reclaimed => self.open(Mode::Reclaimed),
            Action::History => {
                self.cache.history_from = 0;
                self.open(Mode::History);
            }
            Action::Sort => {
                self.cache.kind = self.chosen_kind();
                self.cache.sort = self.cache.sort.next();
            }
            Action::SortReverse => {
                self.cache.kind = self.chosen_kind();
                self.cache.reversed = !self.cache.reversed;
            }
            Action::ZoomIn => self.axis.zoom(true),
            Action::ZoomOut => self.axis.zoom(false),
            Action::ZoomReset => self.axis.reset(),
            Action::CursorBack => self.move_cursor(true, false),
            Action::CursorForward => self.move_cursor(false, false),
            Action::ScreenBack => self.move_cursor(true, true),
            Action::ScreenForward => self.move_cursor(false, true),
            Action::CursorMark => self.cursor_to_mark(),
            Action::CursorNow => drop(self.axis.present()),
            Action::OtherAnswer => self.dialog_move(),
            Action::Rollback => self.toggle_rollback(),
            Action::OtherPanel => {
                self.cache.focus = match self.cache.focus {
                    cache::Focus::Strategies => cache::Focus::Kinds,
                    cache::Focus::Kinds => cache::Focus::Strategies,
                };
            }
            Action::Down => self.step(true),
            Action::Up => self.step(false),
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

    /// What only the open page shows: of the Cache page for one kind, what a change of that kind alone brings.
    pub(crate) fn wanted(&self) -> Ask {
        match self.page {
            Page::Overview => Ask::Nothing,
            Page::Cache => Ask::Strategies(self.cache.scope),
            Page::Memory => Ask::Memory,
        }
    }

    fn go(&mut self, page: Page) -> Vec<Effect> {
        self.page = page;
        vec![Effect::Ask(self.wanted()), Effect::Draw { at_once: true }]
    }

    /// Opens a sheet over the page, at its beginning.
    fn open(&mut self, mode: Mode) {
        self.scroll = 0;
        self.modes.push(mode);
    }

    /// Enter on the Overview: what is behind the goals. Without a link it asks again, as Enter on the badge.
    fn goals(&mut self) -> Vec<Effect> {
        let failed = matches!(
            self.model.reported(),
            Link::Connecting { .. } | Link::Down { .. } | Link::Refused { .. }
        );
        if failed {
            return vec![Effect::RetryNow, Effect::AskAgain];
        }
        self.open(Mode::Goals);
        vec![Effect::Draw { at_once: true }]
    }

    /// Esc: what lies on top goes first.
    fn back(&mut self) -> Vec<Effect> {
        let closed = self.modes.pop().is_some() || self.notice.take().is_some() || self.axis.present();
        if closed || self.page == Page::Overview {
            return vec![Effect::Draw { at_once: true }];
        }
        if self.page == Page::Cache && self.cache_back() {
            return vec![Effect::Ask(self.wanted()), Effect::Draw { at_once: true }];
        }
        self.go(Page::Overview)
    }

    fn step(&mut self, down: bool) {
        let step = |at: usize, rows: usize| {
            let next = if down { at + 1 } else { at.saturating_sub(1) };
            next.min(rows.saturating_sub(1))
        };
        let pages = &self.model.pages;
        match self.modes.last() {
            Some(Mode::History) => {
                let rows = pages.strategies.get().map_or(0, |strategies| strategies.record.len());
                self.cache.history_from = step(self.cache.history_from, rows);
            }
            // How far there is to scroll only the view knows; it stops at the last row.
            Some(_) => self.scroll = step(self.scroll, 100),
            None if self.page == Page::Memory => {
                let rows = pages.memory.get().map_or(0, |memory| memory.reclaims.len());
                self.reclaim = step(self.reclaim, rows);
            }
            None => self.cache_move(down),
        }
    }

    /// Whether an age or a countdown is on the screen, so that it must be drawn anew each second.
    pub fn ticks(&self) -> bool {
        !self.paused && !self.unfocused
    }
}

#[cfg(test)]
mod tests;
