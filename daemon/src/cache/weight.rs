//! What a piece of memory takes: as much as the allocator's size class for it.

/// Two counters in front of what is shared.
pub(super) const COUNTS: usize = 2 * size_of::<usize>();

/// The size class that `bytes` fall into: steps of 16 up to 128 bytes, then four for each doubling. Nothing is
/// allocated for nothing.
pub(super) const fn class(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=8 => 8,
        9..=128 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
    }
}

/// A text of its own.
pub(super) fn text(text: Option<&str>) -> usize {
    text.map_or(0, |text| class(text.len()))
}

/// A slice of its own, without what its elements refer to.
pub(super) fn slice<T>(of: &[T]) -> usize {
    class(size_of_val(of))
}

/// A shared value or text with its counters.
pub(super) const fn shared(bytes: usize) -> usize {
    class(bytes + COUNTS)
}

/// A hash table with room for so many elements: full at seven eighths of its places, with a byte beside each.
pub(super) fn table<T>(capacity: usize) -> usize {
    let places = match capacity {
        0 => return 0,
        1..4 => 4,
        4..8 => 8,
        _ => (capacity * 8 / 7).next_power_of_two(),
    };
    class(places * (size_of::<T>() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_rounded_up_to_what_the_allocator_hands_out() {
        let rounded = [0, 1, 9, 17, 128, 129, 161, 256, 257, 449, 1025].map(class);
        assert_eq!(rounded, [0, 8, 16, 32, 128, 160, 192, 256, 320, 512, 1280]);
    }
}
