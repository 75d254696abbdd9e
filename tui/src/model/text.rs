//! Text from outside, made safe for a terminal: names, messages and log lines may hold escape sequences,
//! bidirectional overrides or characters of no width, and may be of any length.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Longest text that is kept of one field, in characters.
const MAX_CHARS: usize = 300;

/// Replaces control characters by `·`, drops characters that have no width or turn the writing direction,
/// and cuts the rest.
pub fn clean(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars().take(MAX_CHARS * 4) {
        if char.is_control() {
            out.push('·');
        } else if char.width().unwrap_or(0) > 0 && !is_direction_mark(char) {
            out.push(char);
        }
        if out.chars().count() >= MAX_CHARS {
            break;
        }
    }
    out
}

fn is_direction_mark(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
}

/// Cuts to a width in cells; a cut text ends in `…`.
pub fn fit(text: &str, cells: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let width = char.width().unwrap_or(0);
        let more = chars.peek().is_some();
        if used + width > cells || (more && used + width + 1 > cells) {
            if cells > used {
                out.push('…');
            }
            return out;
        }
        out.push(char);
        used += width;
    }
    out
}

/// Breaks a text into lines of a width in cells, between words where it can.
pub fn wrap(text: &str, cells: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = fit(word, cells);
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= cells => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_and_direction_marks_do_not_reach_the_screen() {
        assert_eq!(clean("a\u{1b}]52;c;x\u{7}b"), "a·]52;c;x·b");
        assert_eq!(clean("x\u{202e}y\u{200d}z\u{9b}31m"), "xyz·31m");
        assert!(clean(&"x".repeat(10_000_000)).len() <= MAX_CHARS);
    }

    #[test]
    fn a_text_that_fits_is_not_cut() {
        assert_eq!(fit("abc", 3), "abc");
        assert_eq!(fit("abcd", 3), "ab…");
        assert_eq!(fit("abcd", 0), "");
    }

    #[test]
    fn words_are_kept_whole_where_they_fit() {
        assert_eq!(wrap("warm pods, 100 objects", 10), ["warm pods,", "100", "objects"]);
        assert_eq!(wrap("abcdefgh x", 4), ["abc…", "x"]);
    }

    proptest! {
        #[test]
        fn no_control_byte_and_no_more_than_the_width(text in "(?s).{0,100}", cells in 0_usize..50) {
            let cleaned = clean(&text);
            prop_assert!(!cleaned.chars().any(char::is_control));
            prop_assert!(fit(&cleaned, cells).width() <= cells);
            prop_assert!(wrap(&cleaned, cells).iter().all(|line| line.width() <= cells));
        }
    }
}
