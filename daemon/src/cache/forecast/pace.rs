//! How long a list takes that fills a store: as the last one of that form did, object for object; else as the lists of
//! other kinds did, byte for byte; else by figures of record.

use super::{
    Input, KindInput,
    sizes::{self, Kept},
};

/// Seconds of one page, as long as the server was not looked at.
const PAGE_RTT: f64 = 0.02;
/// Bytes of JSON that are sent, decoded and kept per second, as long as no list of that form was seen.
const RATE: f64 = 100e6;

/// The time of one list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lasts {
    pub(super) seconds: f64,
    /// Whether it rests on what was measured here.
    pub(super) measured: bool,
}

/// The time of a list of so many objects and pages.
pub(super) fn lasts(input: &Input, kind: &KindInput, kept: Kept, objects: f64, pages: f64) -> Lasts {
    let rtt = input.process.list_rtt;
    let round_trips = pages * rtt.unwrap_or(PAGE_RTT);
    let bytes = objects * sizes::wire(kind);
    let (seconds, measured) = if let Some(pace) = kept.of(&kind.pace) {
        (round_trips.max(objects * pace), true)
    } else if let Some(rate) = rate_of_others(input, kept) {
        (round_trips.max(bytes / rate), true)
    } else {
        // One page is its round trip.
        (round_trips + bytes / RATE, pages <= 1.0)
    };
    Lasts {
        seconds,
        measured: measured && rtt.is_some(),
    }
}

/// Mean bytes per second of the kinds whose lists of that form were seen.
fn rate_of_others(input: &Input, kept: Kept) -> Option<f64> {
    let rate = |kind: &KindInput| {
        let pace = kept.of(&kind.pace).filter(|pace| *pace > 0.0)?;
        Some(kind.wire.filter(|wire| *wire > 0.0)? / pace)
    };
    let rates: Vec<f64> = input.kinds.iter().filter_map(rate).collect();
    (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
}

#[cfg(test)]
mod tests {
    use neo4j_operator_shared::{Kind, Strategy};

    use super::{
        super::{PerForm, ProcessInput},
        *,
    };

    /// Pods of 10 kB, ConfigMaps of 1 kB, and a server that answers a page in 10 ms.
    fn input() -> Input {
        let kind = |kind, wire| KindInput {
            wire: Some(wire),
            ..KindInput::new(kind, Strategy::Selective)
        };
        Input {
            kinds: vec![kind(Kind::Pod, 10_000.0), kind(Kind::ConfigMap, 1_000.0)],
            process: ProcessInput {
                list_rtt: Some(0.01),
                ..ProcessInput::default()
            },
            ..Input::default()
        }
    }

    fn of(input: &Input, place: usize, kept: Kept) -> Lasts {
        lasts(input, &input.kinds[place], kept, 10_000.0, 40.0)
    }

    #[test]
    fn what_the_last_list_of_the_form_took_is_what_the_next_one_takes() {
        let mut input = input();
        let blind = of(&input, 0, Kept::Full);
        assert!((blind.seconds - 1.4).abs() < 1e-9 && !blind.measured, "{blind:?}");
        input.kinds[0].pace = PerForm {
            full: Some(0.0003),
            ..PerForm::default()
        };
        let seen = of(&input, 0, Kept::Full);
        assert!((seen.seconds - 3.0).abs() < 1e-9 && seen.measured, "{seen:?}");
        assert_eq!(of(&input, 0, Kept::Projection), blind, "another form is another list");
        // The same server and the same work for a tenth of the bytes, but not below the round trips.
        let other = of(&input, 1, Kept::Full);
        assert!((other.seconds - 0.4).abs() < 1e-9 && other.measured, "{other:?}");
        input.kinds[1].wire = Some(5_000.0);
        assert!((of(&input, 1, Kept::Full).seconds - 1.5).abs() < 1e-9);
    }

    #[test]
    fn one_page_is_its_round_trip_and_nothing_is_measured_before_the_server_was_looked_at() {
        let mut input = input();
        let small = |input: &Input| lasts(input, &input.kinds[1], Kept::Projection, 3.0, 1.0);
        assert!(small(&input).measured && small(&input).seconds < 0.011);
        input.process.list_rtt = None;
        assert!(!small(&input).measured);
    }
}
