//! The one table of actions. Key handling, help and footer are derived from it, so none of them can lie.

use crossterm::event::KeyCode;

use super::Key;

/// What a key can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave neotop.
    Quit,
    /// Open the list of keys.
    Help,
    /// Close what lies over the page.
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
}

/// Where a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// On a page with nothing over it.
    Page,
    /// In the help.
    Help,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// What it does.
    pub action: Action,
    /// Keys that do it.
    pub keys: &'static [Key],
    /// Where they work.
    pub scope: Scope,
    /// What help says.
    pub title: &'static str,
    /// What the footer says, if it has a place there.
    pub footer: Option<&'static str>,
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
        title,
        footer,
    }
}

const fn letter(char: char) -> Key {
    Key::plain(KeyCode::Char(char))
}

/// Every action of this version. All of them only look: nothing here changes the daemon.
pub const ACTIONS: &[Row] = &[
    row(
        Action::Quit,
        &[Key::ctrl('c')],
        Scope::Global,
        "quit, whatever is open",
        None,
    ),
    row(
        Action::Help,
        &[letter('?'), Key::plain(KeyCode::F(1))],
        Scope::Page,
        "this list",
        Some("help"),
    ),
    row(
        Action::Pause,
        &[letter(' ')],
        Scope::Page,
        "let the screen stand still; data is still taken in",
        Some("pause"),
    ),
    row(
        Action::EventsBack,
        &[letter('k'), Key::plain(KeyCode::Up)],
        Scope::Page,
        "older events",
        Some("older"),
    ),
    row(
        Action::EventsForward,
        &[letter('j'), Key::plain(KeyCode::Down)],
        Scope::Page,
        "newer events",
        Some("newer"),
    ),
    row(
        Action::EventsFollow,
        &[letter('G'), letter('F')],
        Scope::Page,
        "newest event, and follow",
        None,
    ),
    row(
        Action::ClustersDown,
        &[letter('l'), Key::plain(KeyCode::Right)],
        Scope::Page,
        "next rows of the clusters",
        None,
    ),
    row(
        Action::ClustersUp,
        &[letter('h'), Key::plain(KeyCode::Left)],
        Scope::Page,
        "rows of the clusters before",
        None,
    ),
    row(
        Action::Retry,
        &[Key::ctrl('r'), Key::plain(KeyCode::Enter)],
        Scope::Page,
        "ask the daemon now",
        Some("retry"),
    ),
    row(Action::Quit, &[letter('q')], Scope::Page, "quit", Some("quit")),
    row(
        Action::Back,
        &[Key::plain(KeyCode::Esc), letter('q'), letter('?')],
        Scope::Help,
        "close this list",
        None,
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_stands_twice_in_a_scope_and_none_shadows_a_global_one() {
        let mut seen = HashSet::new();
        for row in ACTIONS {
            for key in row.keys {
                let scopes = if row.scope == Scope::Global {
                    vec!["page", "help"]
                } else if row.scope == Scope::Page {
                    vec!["page"]
                } else {
                    vec!["help"]
                };
                for scope in scopes {
                    assert!(seen.insert((scope, *key)), "{} stands twice", key.name());
                }
            }
        }
    }
}
