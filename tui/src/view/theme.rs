//! Colours by role, never by name, and safe for colour-blind eyes: blue is fine, orange is a warning,
//! vermilion is bad. Every state also has a word or a shape, so that a screen without colour says the same.

use ratatui::style::{Color, Modifier, Style};

use crate::cli::ColorChoice;

/// What a style means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Fine.
    Ok,
    /// Look at it.
    Warn,
    /// Broken.
    Bad,
    /// Less important.
    Muted,
    /// Frames.
    Border,
    /// Titles.
    Title,
    /// Lines that carry a value.
    Mark,
    /// Everything else.
    Text,
}

/// Styles by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    color: bool,
}

// === impl Theme ===

impl Theme {
    /// A theme with or without colour.
    pub fn new(color: bool) -> Self {
        Self { color }
    }

    /// Decides by the option, then `NO_COLOR`, then `TERM`.
    pub fn choose(choice: ColorChoice, no_color: bool, term: Option<&str>) -> Self {
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !no_color && term.is_some_and(|term| term != "dumb"),
        };
        Self { color }
    }

    /// The style of a role. The colours are from the fixed 256.
    pub fn style(self, role: Role) -> Style {
        let (color, modifier) = match role {
            Role::Ok => (Color::Indexed(75), Modifier::empty()),
            Role::Warn => (Color::Indexed(214), Modifier::BOLD),
            Role::Bad => (Color::Indexed(209), Modifier::BOLD | Modifier::REVERSED),
            Role::Muted => (Color::Indexed(247), Modifier::empty()),
            Role::Border => (Color::Indexed(243), Modifier::empty()),
            Role::Title => (Color::Reset, Modifier::BOLD),
            Role::Mark => (Color::Indexed(80), Modifier::empty()),
            Role::Text => (Color::Reset, Modifier::empty()),
        };
        let style = Style::new().add_modifier(modifier);
        if self.color { style.fg(color) } else { style }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_dumb_terminals_get_none_unless_asked_for() {
        assert_eq!(Theme::choose(ColorChoice::Auto, true, Some("xterm")), Theme::new(false));
        assert_eq!(Theme::choose(ColorChoice::Auto, false, Some("dumb")), Theme::new(false));
        assert_eq!(Theme::choose(ColorChoice::Auto, false, None), Theme::new(false));
        assert_eq!(Theme::choose(ColorChoice::Auto, false, Some("xterm")), Theme::new(true));
        assert_eq!(Theme::choose(ColorChoice::Always, true, None), Theme::new(true));
    }
}
