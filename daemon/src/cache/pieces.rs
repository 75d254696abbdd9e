//! The texts of one object in one piece of memory.
//!
//! A text of its own costs a pointer, a length and what the allocator rounds up; an object has a dozen of them,
//! and most repeat its name: the name of its cluster, of its owner, its ordinal. So the first text, the name, is
//! followed by what is not in there yet, and behind that stands where each of the others begins and how long
//! it is. These numbers are written as characters, for UTF-8 is a code in which small numbers are short, and the
//! whole stays a `str`. A number beyond all characters takes three.

use std::str::Chars;

use super::weight;

/// Longer texts are not looked for among the others.
const LONGEST_SEARCHED: usize = 64;
/// The first code that is no character, and how many follow: the surrogates.
const GAP: (u32, u32) = (0xD800, 0x800);
/// Stands before the upper and the lower half of a number that is no character of its own.
const WIDE: char = char::MAX;

/// Texts of an object, the first of them at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    text: Box<str>,
    /// Bytes of the first one.
    first: u32,
    /// The byte at which it is told where the others are.
    places: u32,
}

/// Puts texts together.
pub(super) struct Builder {
    text: String,
    first: u32,
    places: String,
}

impl Builder {
    pub(super) fn new(first: &str) -> Self {
        let mut text = String::with_capacity(first.len() + 128);
        text.push_str(first);
        Self {
            text,
            first: first.len() as u32,
            places: String::with_capacity(32),
        }
    }

    pub(super) fn push(&mut self, piece: &str) {
        let known = (piece.len() <= LONGEST_SEARCHED)
            .then(|| self.text.find(piece))
            .flatten();
        let start = known.unwrap_or_else(|| {
            self.text.push_str(piece);
            self.text.len() - piece.len()
        });
        write(&mut self.places, start as u32);
        write(&mut self.places, piece.len() as u32);
    }

    pub(super) fn done(mut self) -> Pieces {
        let places = self.text.len() as u32;
        self.text.push_str(&self.places);
        Pieces {
            text: self.text.into(),
            first: self.first,
            places,
        }
    }
}

impl Pieces {
    /// The first one.
    pub(super) fn first(&self) -> &str {
        &self.text[..self.first as usize]
    }

    /// One of those that were pushed, by its place.
    pub(super) fn get(&self, place: usize) -> &str {
        self.from(place).next().unwrap_or_default()
    }

    /// Those that were pushed, beginning with this one.
    pub(super) fn from(&self, place: usize) -> impl Iterator<Item = &str> {
        let mut numbers = self.text[self.places as usize..].chars();
        let places = std::iter::from_fn(move || Some((read(&mut numbers)?, read(&mut numbers)?)));
        let texts = places.skip(place);
        texts.map_while(|(start, length)| self.text.get(start as usize..(start + length) as usize))
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        weight::text(Some(&self.text))
    }
}

fn write(text: &mut String, number: u32) {
    let code = if number < GAP.0 {
        Some(number)
    } else {
        number.checked_add(GAP.1)
    };
    if let Some(narrow) = code.and_then(char::from_u32).filter(|narrow| *narrow != WIDE) {
        text.push(narrow);
    } else {
        text.push(WIDE);
        write(text, number >> 16);
        write(text, number & 0xFFFF);
    }
}

fn read(of: &mut Chars<'_>) -> Option<u32> {
    let first = of.next()?;
    if first == WIDE {
        return Some((read(of)? << 16) | read(of)?);
    }
    let code = u32::from(first);
    Some(if code < GAP.0 { code } else { code - GAP.1 })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn put(first: &str, others: &[String]) -> Pieces {
        let mut builder = Builder::new(first);
        for other in others {
            builder.push(other);
        }
        builder.done()
    }

    proptest! {
        #[test]
        fn each_text_comes_out_as_it_went_in(first in "[a-c\u{e9}]{0,8}", others in vec("[a-c\u{e9}\u{1F511}]{0,90}", 0..12)) {
            let pieces = put(&first, &others);
            prop_assert_eq!(pieces.first(), first);
            for (place, other) in others.iter().enumerate() {
                prop_assert_eq!(pieces.get(place), other);
            }
            prop_assert_eq!(pieces.from(0).collect::<Vec<_>>(), others);
        }
    }

    #[test]
    fn what_is_there_already_is_not_written_again() {
        let others = ["graph-1", "graph-1-server", "0", "7f3a"].map(String::from);
        let pieces = put("graph-1-server-0", &others);
        assert_eq!(pieces.text.len(), "graph-1-server-07f3a".len() + 2 * others.len());
    }

    #[test]
    fn numbers_pass_over_what_is_no_character_and_go_on_beyond_all_characters() {
        let last = u32::from(char::MAX) - GAP.1;
        for sample in [
            0,
            127,
            128,
            0xD7FF,
            0xD800,
            0xDFFF,
            0xE000,
            last - 1,
            last,
            last + 1,
            u32::MAX,
        ] {
            let mut text = String::new();
            write(&mut text, sample);
            assert_eq!(text.chars().count(), if sample < last { 1 } else { 3 }, "{sample}");
            assert_eq!(read(&mut text.chars()), Some(sample));
        }
    }

    #[test]
    fn more_text_than_any_server_takes_comes_out_too() {
        let texts = vec![
            "x".repeat(0xD900),
            "y".repeat(100),
            "x".repeat(0x11_0000),
            "z".into(),
            "y".into(),
        ];
        assert_eq!(put("", &texts).from(0).collect::<Vec<_>>(), texts);
    }
}
