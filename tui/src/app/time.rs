//! The time cursor. There is no clock here: the newest sample stands for the present.

use tokio::time::Instant;

use super::App;

impl App {
    fn newest(&self) -> Option<Instant> {
        self.model.sample.as_ref().map(|sample| sample.at)
    }

    pub(super) fn move_cursor(&mut self, back: bool, whole: bool) {
        if let Some(newest) = self.newest() {
            self.axis.step(newest, back, whole);
        }
    }

    /// To the newest mark before the cursor; before the oldest one back to the present.
    pub(super) fn cursor_to_mark(&mut self) {
        let before = self.axis.cursor();
        let marks = self.model.marks.iter().map(|mark| mark.at);
        let earlier = marks.filter(|at| before.is_none_or(|before| *at < before)).max();
        match earlier {
            Some(at) => self.axis.look_at(at),
            None => drop(self.axis.present()),
        }
    }
}
