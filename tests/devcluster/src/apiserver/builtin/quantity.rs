//! Quantities of resources (`500m`, `2048Mi`, `1e3`): read, compared, and written in the one form that the server writes.

/// Nine decimals are kept; what is finer is rounded up.
const UNIT: i128 = 1_000_000_000;

/// How a quantity was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notation {
    Decimal,
    Binary,
    Exponent,
}

/// A quantity: billionths, and the notation that it came in.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    notation: Notation,
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.nanos.partial_cmp(&other.nanos)
    }
}

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// From 10^-9 on, by thousands.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

impl Quantity {
    /// Reads a quantity; none where it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 60 {
            return None;
        }
        let (notation, scale) = scale(suffix)?;
        // The number as an integer of 10^-decimals.
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let mut numerator = digits.checked_mul(UNIT);
        let mut denominator = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        match scale {
            Scale::Two(bits) => numerator = numerator.and_then(|n| n.checked_mul(1_i128 << bits)),
            Scale::Ten(exponent @ 0..) => {
                let factor = 10_i128.checked_pow(exponent.unsigned_abs());
                numerator = numerator.and_then(|n| n.checked_mul(factor?));
            }
            Scale::Ten(exponent) => {
                denominator = denominator.saturating_mul(10_i128.saturating_pow(exponent.unsigned_abs()));
            }
        }
        // Beyond what 64 bits hold the server caps.
        let max = i128::from(i64::MAX) * UNIT;
        let exact = numerator.unwrap_or(i128::MAX);
        let rounded = (exact / denominator + i128::from(exact % denominator != 0)).min(max);
        let nanos = if negative { -rounded } else { rounded };
        Some(Self { nanos, notation })
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether it is above zero.
    pub fn is_positive(self) -> bool {
        self.nanos > 0
    }

    /// Whether it is a whole number.
    pub fn is_whole(self) -> bool {
        self.nanos % UNIT == 0
    }

    /// The server's text.
    pub fn canonical(self) -> String {
        if self.nanos == 0 {
            return "0".to_owned();
        }
        let is_small = self.nanos.abs() < 1024 * UNIT;
        match self.notation {
            Notation::Binary if !is_small && self.is_whole() => self.binary(),
            Notation::Exponent => self.decimal(true),
            _ => self.decimal(false),
        }
    }

    fn binary(self) -> String {
        let mut number = self.nanos / UNIT;
        let mut thousands = 0;
        while number % 1024 == 0 && thousands + 1 < BINARY.len() {
            number /= 1024;
            thousands += 1;
        }
        format!("{number}{}", BINARY[thousands])
    }

    fn decimal(self, exponent: bool) -> String {
        let mut number = self.nanos;
        let mut thousands = 0;
        while number % 1000 == 0 && thousands + 1 < DECIMAL.len() {
            number /= 1000;
            thousands += 1;
        }
        match (exponent, thousands) {
            (true, 3) => number.to_string(),
            (true, _) => format!("{number}e{}", (thousands as i64 - 3) * 3),
            (false, _) => format!("{number}{}", DECIMAL[thousands]),
        }
    }
}

enum Scale {
    Two(u32),
    Ten(i32),
}

fn scale(suffix: &str) -> Option<(Notation, Scale)> {
    if let Some(power) = BINARY.iter().position(|s| *s == suffix).filter(|power| *power > 0) {
        return Some((Notation::Binary, Scale::Two(power as u32 * 10)));
    }
    if let Some(power) = DECIMAL.iter().position(|s| *s == suffix) {
        return Some((Notation::Decimal, Scale::Ten((power as i32 - 3) * 3)));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (-40..=40)
        .contains(&exponent)
        .then_some((Notation::Exponent, Scale::Ten(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_one_form() {
        let cases = [
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("2048Mi", "2Gi"),
            ("1536Mi", "1536Mi"),
            ("0.5", "500m"),
            ("0.5Gi", "512Mi"),
            ("1.5Gi", "1536Mi"),
            ("100Mi", "100Mi"),
            ("1024", "1024"),
            ("1000", "1k"),
            ("100000000", "100M"),
            ("0", "0"),
            ("0Gi", "0"),
            ("500m", "500m"),
            ("1e3", "1e3"),
            ("1000e3", "1e6"),
            ("0.1m", "100u"),
            ("0.1n", "1n"),
            ("1Ki", "1Ki"),
            ("0.5Ki", "512"),
            ("-1000m", "-1"),
            ("12E", "9223372036854775807"),
        ];
        for (text, expected) in cases {
            let canonical = Quantity::parse(text).unwrap().canonical();
            assert_eq!(canonical, expected, "{text}");
            assert_eq!(
                Quantity::parse(&canonical).unwrap().canonical(),
                expected,
                "{text} again"
            );
        }
        for text in ["", "x", "1x", "1.2.3", "Gi", "-", "1 Gi", "1e", "1e999", "."] {
            assert!(Quantity::parse(text).is_none(), "{text:?}");
        }
        assert!(Quantity::parse("1Gi") > Quantity::parse("1G"));
        assert_eq!(Quantity::parse("1024Mi"), Quantity::parse("1Gi"));
    }
}
