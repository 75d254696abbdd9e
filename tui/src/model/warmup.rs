//! The last warm-up that was asked for here: what the daemon said of each kind, and how each ended.

use neo4j_operator_shared::{
    Kind,
    cache::{WarmupResult, WarmupState, Warmups},
};

/// One kind of a warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warmed {
    /// The kind.
    pub kind: Kind,
    /// What the daemon answered.
    pub state: WarmupState,
    /// Objects it held then.
    pub objects: Option<u64>,
    /// How it ended: result, objects, seconds; absent while it has not.
    pub end: Option<(WarmupResult, u64, f64)>,
}

/// Takes an answer.
pub fn begin(warmups: &Warmups) -> Vec<Warmed> {
    let rows = warmups.kinds.iter().map(|row| Warmed {
        kind: row.kind,
        state: row.state,
        objects: row.objects,
        end: None,
    });
    rows.collect()
}

/// Takes an event of a warm-up. One that we did not ask for changes nothing.
pub fn end(rows: &mut [Warmed], kind: Kind, result: WarmupResult, objects: u64, seconds: f64) {
    let waiting = |row: &&mut Warmed| row.kind == kind && row.state == WarmupState::Queued && row.end.is_none();
    if let Some(row) = rows.iter_mut().find(waiting) {
        row.end = Some((result, objects, seconds));
    }
}

impl Warmed {
    /// One phrase: what was done.
    pub fn phrase(&self) -> String {
        let kind = self.kind.plural();
        match (self.state, self.end) {
            (_, Some((WarmupResult::Ok, objects, seconds))) => {
                format!("{kind} read in {seconds:.1}s, {objects} objects")
            }
            (_, Some((WarmupResult::Dropped, ..))) => format!("{kind} dropped, the queue was full"),
            (_, Some((WarmupResult::Failed, ..))) => format!("{kind} FAILED, reads still ask the server"),
            (WarmupState::Queued, None) => format!("{kind} queued"),
            (WarmupState::Warm, None) => self.objects.map_or_else(
                || format!("{kind} was warm"),
                |objects| format!("{kind} was warm, {objects} objects"),
            ),
            (WarmupState::NotKept, None) => format!("{kind} is not kept by its strategy"),
            (WarmupState::Dropped, None) => format!("{kind} dropped, the queue is full: ask again"),
        }
    }
}

/// One line for all kinds.
pub fn line(rows: &[Warmed]) -> String {
    if rows.is_empty() {
        return "warm-up: no kind to warm".to_owned();
    }
    let phrases: Vec<_> = rows.iter().map(Warmed::phrase).collect();
    format!("warm-up: {}", phrases.join("; "))
}

#[cfg(test)]
mod tests {
    use neo4j_operator_shared::golden;

    use super::*;

    #[test]
    fn a_queued_kind_tells_how_it_ended_and_a_warm_one_stays_as_it_was() {
        let mut rows = begin(&serde_json::from_str(golden::WARMUPS).unwrap());
        end(&mut rows, Kind::Pod, WarmupResult::Ok, 412, 1.1);
        end(&mut rows, Kind::Secret, WarmupResult::Failed, 0, 1.1);
        assert_eq!(
            line(&rows),
            "warm-up: secrets was warm, 1 objects; pods read in 1.1s, 412 objects; jobs is not kept by its strategy"
        );
    }
}
