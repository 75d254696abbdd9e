//! The time axis that all charts share: how much of it is shown, and the moment that is looked at.

use tokio::time::{Duration, Instant};

/// How much time can be shown, the shortest first.
pub const RANGES: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
];

/// Place of the range that is shown at first.
const USUAL: usize = 2;

/// A step of the cursor is this part of the range, about a column of a chart.
const STEPS: u32 = 100;

/// What is shown of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The right edge.
    pub end: Instant,
    /// From the left edge to the right one.
    pub range: Duration,
}

/// The state of the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    zoom: usize,
    cursor: Option<Instant>,
}

impl Default for Axis {
    fn default() -> Self {
        Self {
            zoom: USUAL,
            cursor: None,
        }
    }
}

// === impl Window ===

impl Window {
    /// The left edge; absent where our clock does not reach back so far.
    pub fn start(&self) -> Option<Instant> {
        self.end.checked_sub(self.range)
    }

    /// The length of one of so many columns.
    pub fn column_length(&self, columns: usize) -> Duration {
        self.range.checked_div(columns as u32).unwrap_or(self.range)
    }

    /// The column of a moment, if it is inside. Columns end at the right edge.
    pub fn column(&self, at: Instant, columns: usize) -> Option<usize> {
        let age = self.end.checked_duration_since(at)?;
        let column = age.as_secs_f64() / self.column_length(columns).as_secs_f64().max(1e-9);
        columns.checked_sub(column as usize + 1)
    }
}

// === impl Axis ===

impl Axis {
    /// How much time is shown.
    pub fn range(&self) -> Duration {
        RANGES[self.zoom]
    }

    /// The moment that is looked at, if one is chosen.
    pub fn cursor(&self) -> Option<Instant> {
        self.cursor
    }

    /// Less time, or more.
    pub fn zoom(&mut self, closer: bool) {
        self.zoom = if closer {
            self.zoom.saturating_sub(1)
        } else {
            (self.zoom + 1).min(RANGES.len() - 1)
        };
    }

    /// The range that is shown at first.
    pub fn reset(&mut self) {
        self.zoom = USUAL;
    }

    /// Moves the cursor by a step or by a whole range; forward to `newest` it goes away, and the charts follow
    /// the present again. It stays within what is kept.
    pub fn step(&mut self, newest: Instant, back: bool, whole: bool) {
        let step = if whole { self.range() } else { self.range() / STEPS };
        let from = self.cursor.unwrap_or(newest);
        let oldest = newest.checked_sub(RANGES[RANGES.len() - 1]);
        let to = if back {
            from.checked_sub(step).max(oldest)
        } else {
            from.checked_add(step)
        };
        self.cursor = to.filter(|to| *to < newest);
    }

    /// Puts the cursor on a moment.
    pub fn look_at(&mut self, moment: Instant) {
        self.cursor = Some(moment);
    }

    /// Back to the present. Whether there was a cursor.
    pub fn present(&mut self) -> bool {
        self.cursor.take().is_some()
    }

    /// What is shown at a moment: up to now, unless the cursor lies before that.
    pub fn window(&self, now: Instant) -> Window {
        let range = self.range();
        let end = match self.cursor {
            Some(cursor) if now.saturating_duration_since(cursor) >= range => {
                // The cursor keeps a tenth of the range to its left.
                (cursor + range * 9 / 10).min(now)
            }
            _ => now,
        };
        Window { end, range }
    }
}

/// As on the axis: `1m`, `15m`, `1h`.
pub fn name(range: Duration) -> String {
    match range.as_secs() {
        seconds if seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        seconds => format!("{}m", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn the_cursor_goes_back_scrolls_the_window_and_comes_back_to_the_present() {
        let now = Instant::now() + 90 * MINUTE;
        let mut axis = Axis::default();
        axis.step(now, true, false);
        assert_eq!(axis.cursor(), Some(now - Duration::from_secs(9)));
        assert_eq!(axis.window(now).end, now, "what is in sight does not scroll");
        axis.step(now, true, true);
        let window = axis.window(now);
        assert!(window.end < now && window.column(axis.cursor().unwrap(), 100).is_some());
        for _ in 0..9 {
            axis.step(now, true, true);
        }
        assert_eq!(axis.cursor(), Some(now - 60 * MINUTE), "no further than what is kept");
        for _ in 0..9 {
            axis.step(now, false, true);
        }
        assert_eq!((axis.cursor(), axis.window(now).end), (None, now));
    }

    #[tokio::test(start_paused = true)]
    async fn zoom_ends_at_a_minute_and_at_an_hour() {
        let mut axis = Axis::default();
        for (closer, name_of) in [(true, "1m"), (false, "1h")] {
            for _ in 0..9 {
                axis.zoom(closer);
            }
            assert_eq!(name(axis.range()), name_of);
        }
        axis.reset();
        assert_eq!(name(axis.range()), "15m");
    }

    #[tokio::test(start_paused = true)]
    async fn columns_end_at_the_right_edge() {
        let end = Instant::now() + 60 * MINUTE;
        let window = Window {
            end,
            range: 10 * MINUTE,
        };
        assert_eq!(window.column(end, 10), Some(9));
        assert_eq!(window.column(end - 10 * MINUTE, 10), None);
        assert_eq!(window.column(end - 9 * MINUTE, 10), Some(0));
        assert_eq!(window.column(end + MINUTE, 10), None, "what comes later is not shown");
    }
}
