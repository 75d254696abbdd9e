//! Small drawings and number formats: pure functions of their input.

pub mod timeline;

use neo4j_operator_shared::goals::Unit;

/// Eighths of a cell, lowest first.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One glyph per column. A column without a value is a `·`: a gap is a gap, not a zero. `top` is the value
/// that fills a cell; values above it fill it too.
pub fn spark(columns: &[Option<f64>], top: f64) -> String {
    columns
        .iter()
        .map(|value| match value {
            None => '·',
            Some(value) => {
                let share = if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
                LEVELS[((share * 7.0).round() as usize).min(7)]
            }
        })
        .collect()
}

/// A bar of `cells` cells of which a share is filled.
pub fn bar(share: f64, cells: usize) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let filled = (share * cells as f64).round() as usize;
    "█".repeat(filled) + &"░".repeat(cells - filled)
}

/// Seconds as people read them: `850µs`, `84ms`, `1.9s`, `2m05s`, `3d04h`.
pub fn seconds(value: f64) -> String {
    let value = if value.is_finite() {
        value.max(0.0)
    } else {
        return "-".to_owned();
    };
    let whole = value.round() as u64;
    match value {
        0.0 => "0s".to_owned(),
        v if v < 0.000_999_5 => format!("{:.0}µs", v * 1e6),
        v if v < 0.9995 => format!("{:.0}ms", v * 1e3),
        v if v < 9.95 => format!("{v:.1}s"),
        v if v < 119.5 => format!("{v:.0}s"),
        v if v < 5_970.0 => format!("{}m{:02}s", whole / 60, whole % 60),
        v if v < 172_800.0 => format!("{}h{:02}m", whole / 3_600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3_600 % 24),
    }
}

/// Bytes in powers of 1000, as the goals are written: `412B`, `74M`.
pub fn bytes(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let mut value = value.max(0.0);
    for unit in ["B", "k", "M", "G", "T"] {
        if value < 999.5 || unit == "T" {
            let digits = usize::from(value < 9.95 && unit != "B");
            return format!("{value:.digits$}{unit}");
        }
        value /= 1e3;
    }
    "-".to_owned()
}

/// A rate per second.
pub fn rate(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value >= 9.95 || value == 0.0 => format!("{value:.0}/s"),
        Some(value) => format!("{value:.1}/s"),
    }
}

/// A value of a goal in the goal's unit.
pub fn in_unit(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => seconds(value),
        Unit::Bytes => bytes(value),
        Unit::Ratio => percent(value),
        Unit::PerSecond => rate(Some(value)),
    }
}

/// A share as a percentage.
pub fn percent(value: f64) -> String {
    let value = value * 100.0;
    if (value - value.round()).abs() < 0.05 {
        format!("{value:.0}%")
    } else {
        format!("{value:.1}%")
    }
}

/// A count with thin groups: `18 211`.
pub fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            [0.00084, 0.084, 0.9996, 1.94, 59.0, 125.0, 7_500.0, 273_600.0].map(seconds),
            ["840µs", "84ms", "1.0s", "1.9s", "59s", "2m05s", "2h05m", "3d04h"]
        );
        assert_eq!(
            [412.0, 7_400.0, 74e6, 999.9e6].map(bytes),
            ["412B", "7.4k", "74M", "1.0G"]
        );
        assert_eq!([0.764, 0.8, 1.0].map(percent), ["76.4%", "80%", "100%"]);
        assert_eq!([0.0, 999.0, 18_211.0].map(count), ["0", "999", "18 211"]);
        assert_eq!(rate(None), "-");
    }

    #[test]
    fn a_gap_is_drawn_as_a_gap_and_the_top_as_a_full_cell() {
        assert_eq!(spark(&[Some(0.0), None, Some(5.0), Some(99.0)], 10.0), "▁·▅█");
        assert_eq!(spark(&[Some(0.0)], 0.0), "▁");
    }

    proptest! {
        #[test]
        fn any_number_is_survived(value in any::<f64>(), cells in 0_usize..40) {
            let _ = (seconds(value), bytes(value), percent(value), count(value), rate(Some(value)));
            prop_assert_eq!(bar(value, cells).chars().count(), cells);
            prop_assert_eq!(spark(&[Some(value)], value).chars().count(), 1);
        }
    }
}
