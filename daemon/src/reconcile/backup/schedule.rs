//! When runs begin: a cron expression as both Kubernetes and we understand it.
//!
//! Kubernetes takes five fields and a few macros; other dialects have more (seconds, `L`, `W`, `#`, a seventh
//! day). What only one side understands would make the next run that the status shows a lie, so it is refused.
//! Times are UTC, and the CronJob says so.

use chrono::DateTime;
use croner::Cron;
use jiff::Timestamp;

/// The time zone of every schedule.
pub const TIME_ZONE: &str = "UTC";

/// Macros and what they stand for.
const MACROS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Names of months and days, which hold letters that mean something else alone.
const NAMES: [&str; 19] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC", "SUN", "MON", "TUE", "WED",
    "THU", "FRI", "SAT",
];

/// A schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    cron: Cron,
}

impl Schedule {
    /// Reads a cron expression; the error says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let expression = match MACROS.iter().find(|(name, _)| *name == text) {
            Some((_, expression)) => (*expression).to_owned(),
            None => text.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let wrong = |why: &str| {
            format!(
                "{text:?} is no schedule: {why}; write minute, hour, day of month, month and day of week, such as \
                 \"0 2 * * *\" for every night at two (UTC)"
            )
        };
        let fields: Vec<&str> = expression.split(' ').collect();
        if fields.len() != 5 {
            return Err(wrong(&format!("it has {} fields instead of five", fields.len())));
        }
        let mut letters = expression.to_ascii_uppercase();
        for name in NAMES {
            letters = letters.replace(name, "");
        }
        if let Some(odd) = letters
            .chars()
            .find(|c| c.is_ascii_alphabetic() || matches!(c, '#' | '+'))
        {
            return Err(wrong(&format!("{odd:?} means nothing to Kubernetes")));
        }
        if fields[4].contains('7') {
            return Err(wrong("the days of a week are 0 (Sunday) to 6"));
        }
        let cron: Cron = expression
            .replace('?', "*")
            .parse()
            .map_err(|error: croner::errors::CronError| wrong(error.to_string().trim_end_matches('.')))?;
        let schedule = Self { text: expression, cron };
        if schedule.next(Timestamp::UNIX_EPOCH).is_none() {
            return Err(wrong("there is no such day"));
        }
        Ok(schedule)
    }

    /// The expression that the CronJob gets.
    pub fn expression(&self) -> &str {
        &self.text
    }

    /// The first time after `now`.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let now = DateTime::from_timestamp(now.as_second(), 0)?;
        let next = self.cron.find_next_occurrence(&now, false).ok()?;
        Timestamp::from_second(next.timestamp()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_next_run_is_the_first_time_after_now() {
        for (schedule, now, next) in [
            ("0 2 * * *", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"),
            ("0 2 * * *", "2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z"),
            ("0 2 * * *", "2026-01-01T02:00:00.5Z", "2026-01-02T02:00:00Z"),
            ("*/15 * * * *", "2026-01-01T00:14:59Z", "2026-01-01T00:15:00Z"),
            ("30 1 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T01:30:00Z"),
            ("0 0 ? JUL wed", "2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z"),
            ("@daily", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ] {
            assert_eq!(
                Schedule::parse(schedule).unwrap().next(at(now)),
                Some(at(next)),
                "{schedule}"
            );
        }
    }

    #[test]
    fn what_kubernetes_would_read_otherwise_or_not_at_all_is_refused_with_an_example() {
        for (schedule, needle) in [
            ("", "1 fields instead of five"),
            ("0 0 2 * * *", "6 fields"),
            ("61 * * * *", "is no schedule"),
            ("0 2 L * *", "'L'"),
            ("0 2 * * 5#2", "'#'"),
            ("0 2 * * 7", "0 (Sunday) to 6"),
            ("0 0 30 2 *", "no such day"),
            ("@every 5m", "fields"),
            ("nightly", "1 fields"),
        ] {
            let error = Schedule::parse(schedule).unwrap_err();
            assert!(
                error.contains(needle) && error.contains("0 2 * * *"),
                "{schedule}: {error}"
            );
        }
    }
}
