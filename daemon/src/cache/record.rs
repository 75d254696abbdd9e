//! What was forecast of each change of strategy, and what came of it (PR7). Pure: times, counts and quantities
//! are the caller's.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use neo4j_operator_shared::{
    Span,
    switch::{Forecast, Measured, Operation, Quantity, QuantityError, SwitchOutcome, SwitchRecord},
};

use super::counts::rate;

/// Changes that are kept.
const KEPT: usize = 256;
/// When the first outcome is taken after the swap, unless the settings say otherwise; the second one after three
/// times as long.
pub(super) const AFTER: Duration = Duration::from_secs(300);
/// An outcome of so many reads or fewer says nothing.
pub(super) const READS: u64 = 100;
/// Percentiles are of so long: sooner after a change they are of what was before it too.
const PERCENTILES: Duration = Duration::from_secs(300);
/// The least that a measured value counts for as a divisor: half a request per minute more or less is no
/// error of 100 %.
const API_FLOOR: f64 = 0.1;
const BYTES_FLOOR: f64 = 65_536.0;
const P99_FLOOR: f64 = 0.001;
const WARMUP_FLOOR: f64 = 0.05;

/// What was counted since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Cacheable reads that a store answered.
    pub hits: u64,
    /// Cacheable reads.
    pub reads: u64,
    /// Requests to the API server.
    pub requests: u64,
}

/// Past changes, the newest first.
#[derive(Clone, Debug)]
pub(super) struct Record {
    entries: VecDeque<Entry>,
    /// When outcomes are taken after the swap.
    after: [Duration; 2],
}

#[derive(Clone, Debug)]
struct Entry {
    record: SwitchRecord,
    watched: Option<Watched>,
}

/// A change whose outcomes are still to come.
#[derive(Clone, Copy, Debug)]
struct Watched {
    swapped: Instant,
    counted: Counted,
    warmup: f64,
    taken: usize,
}

impl Default for Record {
    fn default() -> Self {
        Self::after(AFTER)
    }
}

impl Record {
    /// Without a change yet; the first outcome of each is taken so long after the swap.
    pub(super) fn after(first: Duration) -> Self {
        Self {
            entries: VecDeque::new(),
            after: [first, first.saturating_mul(3)],
        }
    }

    /// A change begins. What came before is not compared any further once this one is swapped in.
    pub(super) fn begin(&mut self, operation: Operation, before: Measured) {
        self.entries.truncate(KEPT - 1);
        self.entries.push_front(Entry {
            record: SwitchRecord {
                operation,
                before,
                outcomes: Vec::new(),
            },
            watched: None,
        });
    }

    /// The change stands otherwise: as it is shown from now on.
    pub(super) fn update(&mut self, operation: &Operation) {
        if let Some(entry) = self.find(&operation.id) {
            entry.record.operation = operation.clone();
        }
    }

    /// The new stores are read, `warmup` seconds after the beginning.
    pub(super) fn swapped(&mut self, id: &str, warmup: f64, counted: Counted, now: Instant) {
        for entry in &mut self.entries {
            entry.watched = None;
        }
        if let Some(entry) = self.find(id) {
            entry.watched = Some(Watched {
                swapped: now,
                counted,
                warmup,
                taken: 0,
            });
        }
    }

    /// Whether an outcome is due; then measure, and call [`Record::observe`].
    pub(super) fn due(&self, now: Instant) -> bool {
        self.entries
            .iter()
            .filter_map(|entry| entry.watched)
            .any(|watched| watched.due(self.after, now).is_some())
    }

    /// Takes the outcome that is due, if one is, and tells the id of its change. `measured` is what is now. Hits
    /// and requests are those since the swap instead, and a percentile is left out as long as it may be of earlier
    /// passes: nothing from before the swap is compared.
    pub(super) fn observe(
        &mut self,
        measured: &Measured,
        counted: Counted,
        now: Instant,
    ) -> Option<(String, SwitchOutcome)> {
        let after = self.after;
        let (entry, place) = self.entries.iter_mut().find_map(|entry| {
            let place = entry.watched?.due(after, now)?;
            Some((entry, place))
        })?;
        let watched = entry.watched.as_mut()?;
        watched.taken = place + 1;
        let since = now.saturating_duration_since(watched.swapped);
        let counted = counted.since(watched.counted);
        let measured = Measured {
            hit_rate: counted.hit_rate(),
            api_rate: (!since.is_zero()).then(|| counted.requests as f64 / since.as_secs_f64()),
            p99: measured.p99.filter(|_| since >= PERCENTILES),
            warmup: Some(watched.warmup),
            ..*measured
        };
        let reads = counted.reads;
        let errors = match &entry.record.operation.forecast {
            Some(forecast) if reads > READS => errors(forecast, &measured),
            _ => Vec::new(),
        };
        let outcome = SwitchOutcome {
            after: Span(after[place]),
            reads,
            measured,
            errors,
        };
        entry.record.outcomes.push(outcome.clone());
        if watched.taken == after.len() {
            entry.watched = None;
        }
        Some((entry.record.operation.id.clone(), outcome))
    }

    /// Past changes, the newest first.
    pub(super) fn records(&self) -> Vec<SwitchRecord> {
        self.entries.iter().map(|entry| entry.record.clone()).collect()
    }

    /// Mean error of each quantity that could be compared: of the last outcome of each change.
    pub(super) fn errors(&self) -> Vec<QuantityError> {
        let last = || {
            self.entries.iter().filter_map(|entry| {
                entry
                    .record
                    .outcomes
                    .iter()
                    .rev()
                    .find(|outcome| !outcome.errors.is_empty())
            })
        };
        let mean = |quantity: Quantity| {
            let errors: Vec<f64> = last()
                .flat_map(|outcome| &outcome.errors)
                .filter(|error| error.quantity == quantity)
                .map(|error| error.error)
                .collect();
            (!errors.is_empty()).then(|| QuantityError {
                quantity,
                error: errors.iter().sum::<f64>() / errors.len() as f64,
            })
        };
        Quantity::ALL.into_iter().filter_map(mean).collect()
    }

    /// Mean over the quantities that a choice of strategy rests on; `None` if nothing could be compared.
    pub(super) fn mean_error(&self) -> Option<f64> {
        let errors: Vec<f64> = self
            .errors()
            .into_iter()
            .filter(|error| error.quantity != Quantity::Warmup)
            .map(|error| error.error)
            .collect();
        (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
    }

    fn find(&mut self, id: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.record.operation.id == id)
    }
}

impl Counted {
    /// What was counted after `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            hits: self.hits.saturating_sub(earlier.hits),
            reads: self.reads.saturating_sub(earlier.reads),
            requests: self.requests.saturating_sub(earlier.requests),
        }
    }

    /// Hits ÷ cacheable reads, if there were any.
    pub(super) fn hit_rate(self) -> Option<f64> {
        rate((self.hits, self.reads))
    }
}

impl Watched {
    /// Which outcome is due: the latest one, if the caller slept through an earlier one.
    fn due(&self, after: [Duration; 2], now: Instant) -> Option<usize> {
        let since = now.saturating_duration_since(self.swapped);
        (self.taken..after.len()).rev().find(|place| since >= after[*place])
    }
}

/// The errors of those quantities that were forecast and measured.
fn errors(forecast: &Forecast, measured: &Measured) -> Vec<QuantityError> {
    let relative = |forecast: f64, measured: f64, floor: f64| (forecast - measured).abs() / measured.abs().max(floor);
    let of = |quantity, error: Option<f64>| {
        error
            .filter(|error| error.is_finite())
            .map(|error| QuantityError { quantity, error })
    };
    [
        of(
            Quantity::HitRate,
            forecast
                .hit_rate
                .zip(measured.hit_rate)
                .map(|(forecast, measured)| (forecast.value - measured).abs()),
        ),
        of(
            Quantity::Memory,
            measured
                .cache_bytes
                .map(|measured| relative(forecast.cache_bytes.value, measured, BYTES_FLOOR)),
        ),
        of(
            Quantity::ApiRate,
            measured
                .api_rate
                .map(|measured| relative(forecast.api_rate.value, measured, API_FLOOR)),
        ),
        of(
            Quantity::P99,
            forecast
                .p99
                .zip(measured.p99)
                .map(|(forecast, measured)| relative(forecast.value, measured, P99_FLOOR)),
        ),
        of(
            Quantity::Warmup,
            measured
                .warmup
                .map(|measured| relative(forecast.warmup.value, measured, WARMUP_FLOOR)),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests;
