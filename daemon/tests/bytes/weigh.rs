//! An allocator that counts what is in use, each piece as large as the operator's allocator makes it.
#![allow(unsafe_code)] // A global allocator cannot be written without.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static CALLED_FOR: AtomicUsize = AtomicUsize::new(0);

/// Counts on top of the system's allocator.
pub struct Counting;

/// The size class of jemalloc that a piece falls into: steps of 16 up to 128 bytes, then four for each doubling.
fn class(bytes: usize) -> usize {
    match bytes {
        0..=8 => 8,
        9..=128 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
    }
}

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(class(bytes), Ordering::Relaxed) + class(bytes);
    CALLED_FOR.fetch_add(class(bytes), Ordering::Relaxed);
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: everything is passed on to the system's allocator as it came; counting touches atomics only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(class(layout.size()), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grow(size);
        LIVE.fetch_sub(class(layout.size()), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Bytes in use.
pub fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// What `work` returns, how many bytes more are in use after it than before, and how many more were at most.
pub fn weigh<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = live();
    PEAK.store(before, Ordering::Relaxed);
    let done = work();
    let peak = PEAK.load(Ordering::Relaxed);
    (done, live().saturating_sub(before), peak - before)
}

/// How many bytes `work` asks for, whether or not it gives them back.
pub fn asked(work: impl FnOnce()) -> usize {
    let before = CALLED_FOR.load(Ordering::Relaxed);
    work();
    CALLED_FOR.load(Ordering::Relaxed) - before
}
