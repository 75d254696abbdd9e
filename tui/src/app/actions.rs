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
    /// Order the kinds by another column.
    Sort,
    /// The other way round.
    SortReverse,
    /// What is behind the goals: values, bounds, phases of the start.
    Goals,
    /// Does memory leak?
    LeakCheck,
    /// Everything about the chosen reclaim.
    Reclaimed,
    /// Less time in the charts.
    ZoomIn,
    /// More time in the charts.
    ZoomOut,
    /// A quarter of an hour in the charts.
    ZoomReset,
    /// The time cursor a step back.
    CursorBack,
    /// The time cursor a step forward.
    CursorForward,
    /// The time cursor a whole screen back.
    ScreenBack,
    /// The time cursor a whole screen forward.
    ScreenForward,
    /// The mark before the time cursor.
    CursorMark,
    /// No time cursor: follow the present.
    CursorNow,
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
    /// In any other sheet over a page.
    Sheet,
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

// Actions with one title stand in one line of the help.
const PAGES: &str = "pages: Overview, Cache, Memory";
const EVENTS: &str = "newer or older events";
const CLUSTERS: &str = "further clusters, or those before";
const ROWS: &str = "next or previous row";
const SORTS: &str = "order the kinds by another column; the other way round";
const ZOOM: &str = "charts: less time, more time, 15 min";
const CURSOR: &str = "time cursor: earlier, later";
const SCREEN: &str = "time cursor: a whole screen earlier, later";

/// Every action of this version. Those of level 1 and above change the daemon.
#[rustfmt::skip] // a table: one action a line
pub const ACTIONS: &[Row] = &[
    row(Action::Quit, &[Key::ctrl('c')], Scope::Global, "quit, whatever is open", None),
    row(Action::Go(Page::Overview), &[letter('1')], Scope::Page, PAGES, None),
    row(Action::Go(Page::Cache), &[letter('3')], Scope::Page, PAGES, None),
    row(Action::Go(Page::Memory), &[letter('4')], Scope::Page, PAGES, None),
    // Overview
    row(Action::Goals, &[ENTER], OVERVIEW, "goals and phases of the start; without a link: ask again", Some("goals")),
    row(Action::EventsForward, &[letter('j'), DOWN], OVERVIEW, EVENTS, None),
    row(Action::EventsBack, &[letter('k'), UP], OVERVIEW, EVENTS, Some("older events")),
    row(Action::EventsFollow, &[letter('G'), letter('F')], OVERVIEW, "newest event, and follow", None),
    row(Action::ClustersDown, &[letter('l'), RIGHT], OVERVIEW, CLUSTERS, Some("more clusters")),
    row(Action::ClustersUp, &[letter('h'), LEFT], OVERVIEW, CLUSTERS, None),
    // Cache
    row(Action::Down, &[letter('j'), DOWN], CACHE, ROWS, Some("pick")),
    row(Action::Up, &[letter('k'), UP], CACHE, ROWS, None),
    act(Action::Choose, 2, &[ENTER], CACHE, "switch to the chosen strategy (asks); on a kind: its own", Some("switch")),
    row(Action::DryRun, &[letter('d')], CACHE, "dry run: what would the chosen strategy bring?", Some("dry run")),
    act(Action::Cancel, 1, &[letter('x')], CACHE, "cancel a change; of one that is in force: go back (asks)", Some("cancel")),
    row(Action::History, &[letter('H')], CACHE, "past changes: forecast against outcome", Some("history")),
    row(Action::OtherPanel, &[TAB, BACK_TAB], CACHE, "from strategies to kinds and back", Some("panel")),
    row(Action::Rollback, &[letter('b')], CACHE, "go back by itself if a goal breaks: on or off", None),
    row(Action::Sort, &[letter('o')], CACHE, SORTS, Some("sort")),
    row(Action::SortReverse, &[letter('O')], CACHE, SORTS, None),
    // Memory
    row(Action::Down, &[letter('j'), DOWN], MEMORY, "older or newer reclaim", None),
    row(Action::Up, &[letter('k'), UP], MEMORY, "older or newer reclaim", None),
    row(Action::Reclaimed, &[ENTER], MEMORY, "all that the chosen reclaim did", Some("detail")),
    row(Action::LeakCheck, &[letter('L')], MEMORY, "leak check: what grows, how fast, who holds it", Some("leak check")),
    // acts that work on every page
    act(Action::Reclaim, 1, &[Key::ctrl('g')], Scope::Page, "reclaim memory now; does no harm, cannot be undone", Some("reclaim")),
    act(Action::WarmUp, 1, &[letter('w')], Scope::Page, "warm-up: list what is kept but not read yet; or the kind", Some("warm")),
    row(Action::Switcher, &[letter('s')], Scope::Page, "strategy switcher; on a kind the switcher of that kind", Some("strategy")),
    // time
    row(Action::ZoomIn, &[letter('+')], Scope::Page, ZOOM, Some("zoom")),
    row(Action::ZoomOut, &[letter('-')], Scope::Page, ZOOM, None),
    row(Action::ZoomReset, &[letter('=')], Scope::Page, ZOOM, None),
    row(Action::CursorBack, &[letter(',')], Scope::Page, CURSOR, Some("time")),
    row(Action::CursorForward, &[letter('.')], Scope::Page, CURSOR, None),
    row(Action::CursorBack, &[LEFT, letter('h')], CACHE, CURSOR, None),
    row(Action::CursorForward, &[RIGHT, letter('l')], CACHE, CURSOR, None),
    row(Action::CursorBack, &[LEFT, letter('h')], MEMORY, CURSOR, None),
    row(Action::CursorForward, &[RIGHT, letter('l')], MEMORY, CURSOR, None),
    row(Action::ScreenBack, &[letter('<')], Scope::Page, SCREEN, None),
    row(Action::ScreenForward, &[letter('>')], Scope::Page, SCREEN, None),
    row(Action::CursorMark, &[letter('\'')], Scope::Page, "time cursor to the mark before (C cache G reclaim Y you)", None),
    row(Action::CursorNow, &[letter('0')], Scope::Page, "no time cursor: follow the present", None),
    // the rest
    row(Action::Pause, &[letter(' ')], Scope::Page, "let the screen stand still; data is still taken in", Some("pause")),
    row(Action::Retry, &[Key::ctrl('r')], Scope::Page, "ask the daemon now", None),
    row(Action::Back, &[ESC], Scope::Page, "back: the line about acts, the cursor, one kind, the page", None),
    row(Action::Help, &[letter('?'), Key::plain(KeyCode::F(1))], Scope::Page, "this list", Some("help")),
    row(Action::Quit, &[letter('q')], Scope::Page, "quit", Some("quit")),
    // over a page
    row(Action::Down, &[letter('j'), DOWN], Scope::Help, "further rows", Some("down")),
    row(Action::Up, &[letter('k'), UP], Scope::Help, "rows before", Some("up")),
    row(Action::Back, &[ESC, letter('q'), letter('?')], Scope::Help, "close this list", Some("close")),
    row(Action::Down, &[letter('j'), DOWN], Scope::History, "older changes", Some("older")),
    row(Action::Up, &[letter('k'), UP], Scope::History, "newer changes", Some("newer")),
    row(Action::Back, &[ESC, letter('q'), letter('H')], Scope::History, "close the history", Some("close")),
    row(Action::Down, &[letter('j'), DOWN], Scope::Sheet, "further rows", Some("down")),
    row(Action::Up, &[letter('k'), UP], Scope::Sheet, "rows before", Some("up")),
    row(Action::Back, &[ESC, letter('q'), ENTER], Scope::Sheet, "close", Some("close")),
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
        for place in places.chain([Scope::Help, Scope::History, Scope::Sheet, Scope::Dialog]) {
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
