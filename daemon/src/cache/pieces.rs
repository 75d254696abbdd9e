//! The texts of one object in one piece of memory.
//!
//! A text of its own costs a pointer, a length and what the allocator rounds up; an object has a dozen of them,
//! and most repeat its name: the name of its cluster, of its owner, its ordinal. So the first text, the name, is
//! followed by what is not in there yet, and behind that stands where each of the others begins and how long
//! it is. These numbers are written as characters, for UTF-8 is a code in which small numbers are short, and the
//! whole stays a `str`.

use std::str::Chars;

use super::weight;

/// Longer texts are not looked for among the others.
const LONGEST_SEARCHED: usize = 64;
/// The first character that is no number: from there to its end lie the surrogates.
const GAP: (u32, u32) = (0xD800, 0x800);

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

/// More text than places can be told of, about a million bytes. No API server takes that much metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the metadata is too large to be kept")]
pub(super) struct TooLarge;

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

    pub(super) fn push(&mut self, piece: &str) -> Result<(), TooLarge> {
        let known = (piece.len() <= LONGEST_SEARCHED)
            .then(|| self.text.find(piece))
            .flatten();
        let start = known.unwrap_or_else(|| {
            self.text.push_str(piece);
            self.text.len() - piece.len()
        });
        self.places.push(character(start)?);
        self.places.push(character(piece.len())?);
        Ok(())
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
        if let Some(before) = (2 * place).checked_sub(1) {
            numbers.nth(before);
        }
        std::iter::from_fn(move || {
            let (start, length) = (number(&mut numbers)?, number(&mut numbers)?);
            self.text.get(start..start + length)
        })
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        weight::text(Some(&self.text))
    }
}

fn character(number: usize) -> Result<char, TooLarge> {
    let code = u32::try_from(number).map_err(|_| TooLarge)?;
    let code = if code < GAP.0 {
        Some(code)
    } else {
        code.checked_add(GAP.1)
    };
    code.and_then(char::from_u32).ok_or(TooLarge)
}

fn number(of: &mut Chars<'_>) -> Option<usize> {
    let code = u32::from(of.next()?);
    Some(if code < GAP.0 { code } else { code - GAP.1 } as usize)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn put(first: &str, others: &[String]) -> Result<Pieces, TooLarge> {
        let mut builder = Builder::new(first);
        others.iter().try_for_each(|other| builder.push(other))?;
        Ok(builder.done())
    }

    proptest! {
        #[test]
        fn each_text_comes_out_as_it_went_in(first in "[a-c\u{e9}]{0,8}", others in vec("[a-c\u{e9}\u{1F511}]{0,90}", 0..12)) {
            let pieces = put(&first, &others).unwrap();
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
        let pieces = put("graph-1-server-0", &others).unwrap();
        assert_eq!(pieces.text.len(), "graph-1-server-07f3a".len() + 2 * others.len());
    }

    #[test]
    fn numbers_pass_over_what_is_no_character_and_end_where_characters_do() {
        for sample in [0, 127, 128, 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0x10_FFFF - 0x800] {
            let text = character(sample).unwrap().to_string();
            assert_eq!(number(&mut text.chars()), Some(sample));
        }
        assert_eq!(character(0x10_FFFF - 0x800 + 1), Err(TooLarge));
        let mut texts = vec!["x".repeat(0xD900), "y".repeat(100)];
        assert_eq!(put("", &texts).unwrap().get(1), texts[1]);
        texts.extend(["x".repeat(0x10_F000), "y".into(), "z".into()]);
        assert!(
            put("", &texts) == Err(TooLarge),
            "no place can be told of beyond a million bytes"
        );
    }
}
