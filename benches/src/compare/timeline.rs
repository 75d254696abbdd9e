//! What a candidate asked in a stretch of time. Pure.
//!
//! The times are the server's: when it had read the request, when it answered. What lies between two requests is the
//! candidate's own, and the way there and back.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use neo4j_operator_tests::controlplane::AuditRecord;

/// A stretch of time that is looked into.
#[derive(Clone, Debug)]
pub struct Window {
    name: String,
    began: Timestamp,
    length: Duration,
}

impl Window {
    /// A stretch that began then.
    pub fn new(name: String, began: Timestamp, length: Duration) -> Self {
        Self { name, began, length }
    }
}

/// The requests that came in within a window, in the order in which they came.
#[derive(Clone, Debug)]
pub struct Timeline {
    window: Window,
    requests: Vec<Timed>,
}

#[derive(Clone, Debug)]
struct Timed {
    /// Since the window began.
    after: Duration,
    took: Duration,
    code: u16,
    what: String,
}

impl Timeline {
    /// Those of the records that fall into the window.
    pub fn of(window: Window, records: &[AuditRecord]) -> Self {
        let mut requests: Vec<Timed> = records
            .iter()
            .filter_map(|record| {
                let received: Timestamp = record.received.parse().ok()?;
                let answered: Timestamp = record.answered.parse().ok()?;
                let after = Duration::try_from(received.duration_since(window.began)).ok()?;
                (after <= window.length).then(|| Timed {
                    after,
                    took: Duration::try_from(answered.duration_since(received)).unwrap_or_default(),
                    code: record.code,
                    what: format!("{} {}", record.verb, record.uri),
                })
            })
            .collect();
        requests.sort_by_key(|request| request.after);
        Self { window, requests }
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        writeln!(f, "{}: {:.1} ms", self.window.name, ms(self.window.length))?;
        for Timed {
            after,
            took,
            code,
            what,
        } in &self.requests
        {
            writeln!(
                f,
                "  {:>7.1} ms  took {:>6.1} ms  {code}  {what}",
                ms(*after),
                ms(*took)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(verb: &str, received: &str, answered: &str) -> AuditRecord {
        AuditRecord {
            user: String::new(),
            verb: verb.to_owned(),
            group: String::new(),
            resource: String::new(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
            uri: "/api/v1/pods".to_owned(),
            code: 200,
            received: received.to_owned(),
            answered: answered.to_owned(),
        }
    }

    #[test]
    fn requests_of_the_window_stand_in_the_order_in_which_they_came() {
        let began: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let window = Window::new("start 1".to_owned(), began, Duration::from_millis(100));
        let records = [
            record("list", "2026-01-01T00:00:00.020Z", "2026-01-01T00:00:00.050Z"),
            record("get", "2026-01-01T00:00:00.005Z", "2026-01-01T00:00:00.007Z"),
            record("before", "2025-12-31T23:59:59Z", "2025-12-31T23:59:59Z"),
            record("after", "2026-01-01T00:00:00.101Z", "2026-01-01T00:00:00.102Z"),
            record("without a time", "", ""),
        ];
        assert_eq!(
            Timeline::of(window, &records).to_string(),
            "start 1: 100.0 ms\n      5.0 ms  took    2.0 ms  200  get /api/v1/pods\n     20.0 ms  took   30.0 ms  200  list /api/v1/pods\n"
        );
    }
}
