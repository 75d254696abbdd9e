//! The one table of actions. Key handling, help and footer are derived from it, so none of them can lie.

use crossterm::event::KeyCode;

use super::{Key, Page};

/// What a key can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave neotop.
    Quit,
    /// Open the list of keys.
    Help,
    /// Open a page.
    Go(Page),
    /// Close what lies over the page, or go back.
    Back,
    /// Let the screen stand still, or go on.
    Pause,
    /// Ask the daemon at once.
    Retry,
    /// Older events.
    EventsBack,
    /// Newer events.
    EventsForward,
    /// The newest event, and stay there.
    EventsFollow,
    /// Next cluster.
    ClustersDown,
    /// Cluster before.
    ClustersUp,
    /// The row below.
    Down,
    /// The row above.
    Up,
    /// The other panel.
    OtherPanel,
    /// Open the strategy switcher, or that of the chosen kind.
    Switcher,
    /// Ask whether to switch to the chosen strategy.
    Choose,
    /// Say what the chosen strategy would bring.
    DryRun,
    /// Let a change go back by itself if a goal breaks, or not.
    Rollback,
    /// Cancel the change that is being prepared.
    Cancel,
    /// Past changes: forecast against outcome.
    History,
    /// Warm up.
    WarmUp,
    /// Give memory back.
    Reclaim,
    /// Mark the other answer.
    OtherAnswer,
    /// Take the marked answer.
    Answer,
}

/// Where a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// On every page with nothing over it.
    Page,
    /// On one page with nothing over it.
    On(Page),
    /// In the help.
    Help,
    /// In the history of changes.
    History,
    /// In a question.
    Dialog,
}

/// How much an action can do: 0 looks, 1 acts at once, 2 asks first.
pub type Level = u8;

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// What it does.
    pub action: Action,
    /// Keys that do it.
    pub keys: &'static [Key],
    /// Where they work.
    pub scope: Scope,
    /// How dangerous it is.
    pub level: Level,
    /// What help says.
    pub title: &'static str,
    /// What the footer says, if it has a place there.
    pub footer: Option<&'static str>,
}

impl Scope {
    /// Whether a row of this scope works where the other scope is on top.
    pub fn works_in(self, place: Self) -> bool {
        self == Self::Global || self == place || (self == Self::Page && matches!(place, Self::On(_)))
    }
}

const fn row(
    action: Action,
    keys: &'static [Key],
    scope: Scope,
    title: &'static str,
    footer: Option<&'static str>,
) -> Row {
    Row {
        action,
        keys,
        scope,
        level: 0,
        title,
        footer,
    }
}

const fn act(
    action: Action,
    level: Level,
    keys: &'static [Key],
    scope: Scope,
    title: &'static str,
    footer: Option<&'static str>,
) -> Row {
    Row {
        action,
        keys,
        scope,
        level,
        title,
        footer,
    }
}

const fn letter(char: char) -> Key {
    Key::plain(KeyCode::Char(char))
}

const ENTER: Key = Key::plain(KeyCode::Enter);
const ESC: Key = Key::plain(KeyCode::Esc);
const UP: Key = Key::plain(KeyCode::Up);
const DOWN: Key = Key::plain(KeyCode::Down);
const LEFT: Key = Key::plain(KeyCode::Left);
const RIGHT: Key = Key::plain(KeyCode::Right);
const TAB: Key = Key::plain(KeyCode::Tab);
const BACK_TAB: Key = Key::plain(KeyCode::BackTab);

const OVERVIEW: Scope = Scope::On(Page::Overview);
const CACHE: Scope = Scope::On(Page::Cache);
const MEMORY: Scope = Scope::On(Page::Memory);

/// Every action of this version. Those of level 1 and above change the daemon.
#[rustfmt::skip] // a table: one action a line
pub const ACTIONS: &[Row] = &[
    row(Action::Quit, &[Key::ctrl('c')], Scope::Global, "quit, whatever is open", None),
    row(Action::Help, &[letter('?'), Key::plain(KeyCode::F(1))], Scope::Page, "this list", Some("help")),
    row(Action::Go(Page::Overview), &[letter('1')], Scope::Page, "page Overview: are all goals met?", None),
    row(Action::Go(Page::Cache), &[letter('3')], Scope::Page, "page Cache: which strategy is best now, at what cost?", None),
    row(Action::Go(Page::Memory), &[letter('4')], Scope::Page, "page Memory: a leak? what does a reclaim give?", None),
    // Overview
    row(Action::Pause, &[letter(' ')], Scope::Page, "let the screen stand still; data is still taken in", Some("pause")),
    row(Action::EventsBack, &[letter('k'), UP], OVERVIEW, "older events", Some("older")),
    row(Action::EventsForward, &[letter('j'), DOWN], OVERVIEW, "newer events", Some("newer")),
    row(Action::EventsFollow, &[letter('G'), letter('F')], OVERVIEW, "newest event, and follow", None),
    row(Action::ClustersDown, &[letter('l'), RIGHT], OVERVIEW, "next rows of the clusters", None),
    row(Action::ClustersUp, &[letter('h'), LEFT], OVERVIEW, "rows of the clusters before", None),
    // Cache
    row(Action::Down, &[letter('j'), DOWN], CACHE, "next row", None),
    row(Action::Up, &[letter('k'), UP], CACHE, "row before", None),
    row(Action::OtherPanel, &[TAB, BACK_TAB], CACHE, "from strategies to kinds and back", Some("panel")),
    act(Action::Choose, 2, &[ENTER], CACHE, "switch to the chosen strategy (asks); on a kind: choose for it", Some("switch")),
    row(Action::DryRun, &[letter('d')], CACHE, "dry run: what would the chosen strategy bring?", Some("dry run")),
    row(Action::Rollback, &[letter('b')], CACHE, "go back by itself if a goal breaks: on or off", None),
    act(Action::Cancel, 1, &[letter('x')], CACHE, "cancel the change that is being prepared", Some("cancel")),
    row(Action::History, &[letter('H')], CACHE, "past changes: forecast against outcome", Some("history")),
    // Memory
    row(Action::Down, &[letter('j'), DOWN], MEMORY, "older reclaim", Some("older")),
    row(Action::Up, &[letter('k'), UP], MEMORY, "newer reclaim", Some("newer")),
    // acts that work on every page
    act(Action::Reclaim, 1, &[Key::ctrl('g')], Scope::Page, "reclaim memory now; does no harm, cannot be undone", Some("reclaim")),
    act(Action::WarmUp, 1, &[letter('w')], Scope::Page, "warm-up: list what is kept but not read yet; or the kind", Some("warm")),
    row(Action::Switcher, &[letter('s')], Scope::Page, "strategy switcher; on a kind the switcher of that kind", Some("strategy")),
    row(Action::Retry, &[Key::ctrl('r')], Scope::Page, "ask the daemon now", Some("retry")),
    row(Action::Retry, &[ENTER], OVERVIEW, "ask the daemon now", None),
    row(Action::Back, &[ESC], Scope::Page, "close the line about acts; back to all kinds; to the Overview", None),
    row(Action::Quit, &[letter('q')], Scope::Page, "quit", Some("quit")),
    // over a page
    row(Action::Back, &[ESC, letter('q'), letter('?')], Scope::Help, "close this list", None),
    row(Action::Back, &[ESC, letter('q'), letter('H')], Scope::History, "close the history", Some("close")),
    row(Action::Down, &[letter('j'), DOWN], Scope::History, "older changes", Some("older")),
    row(Action::Up, &[letter('k'), UP], Scope::History, "newer changes", Some("newer")),
    row(Action::OtherAnswer, &[TAB, BACK_TAB, LEFT, RIGHT, letter('h'), letter('l')], Scope::Dialog, "mark the other answer", Some("other answer")),
    row(Action::Answer, &[ENTER], Scope::Dialog, "take the marked answer", Some("take it")),
    row(Action::Rollback, &[letter('b')], Scope::Dialog, "go back by itself if a goal breaks: on or off", Some("rollback on/off")),
    row(Action::Back, &[ESC, letter('q')], Scope::Dialog, "cancel", Some("cancel")),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_stands_twice_in_a_place_and_none_shadows_a_global_one() {
        let places = Page::ALL.map(Scope::On).into_iter();
        for place in places.chain([Scope::Help, Scope::History, Scope::Dialog]) {
            let mut seen = HashSet::new();
            for row in ACTIONS.iter().filter(|row| row.scope.works_in(place)) {
                for key in row.keys {
                    assert!(seen.insert(*key), "{} stands twice in {place:?}", key.name());
                }
            }
        }
    }

    #[test]
    fn no_single_letter_acts_at_once_but_the_harmless() {
        for row in ACTIONS.iter().filter(|row| row.level == 1) {
            assert!(
                matches!(row.action, Action::WarmUp | Action::Cancel | Action::Reclaim),
                "{:?} should ask first",
                row.action
            );
        }
    }
}
