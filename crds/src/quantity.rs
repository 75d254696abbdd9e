//! Sizes as Kubernetes writes them, compared without rounding.

use std::cmp::Ordering;

/// A quantity in units of 10⁻³, exact for every size that fits 2⁶³.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(i128);

// === impl Quantity ===

impl Quantity {
    /// Reads a quantity such as `10Gi`, `1.5Gi`, `500m` or `1e3`; `None` when it is none.
    ///
    /// More than three decimal places are rounded up, as Kubernetes does.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let digits = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
            .count();
        let (number, suffix) = rest.split_at(digits);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || digits > 30 {
            return None;
        }
        let mantissa: i128 = format!("0{whole}{fraction}").parse().ok()?;
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let (numerator, denominator) = factor(suffix)?;
        let thousandths = mantissa.checked_mul(numerator)?.checked_mul(1000)?;
        let divisor = scale.checked_mul(denominator)?;
        let value = thousandths.checked_add(divisor - 1)?.checked_div(divisor)?;
        Some(Self(if negative { -value } else { value }))
    }

    /// The whole number, rounded up: bytes of a size.
    pub fn whole(self) -> i128 {
        if self.0 > 0 {
            (self.0 + 999) / 1000
        } else {
            self.0 / 1000
        }
    }

    /// Thousandths: millicores of a CPU quantity.
    pub fn thousandths(self) -> i128 {
        self.0
    }
}

/// The factor of a suffix as numerator and denominator.
fn factor(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((1024_i128.pow(power), 1));
    let decimal = |power: i32| match power.cmp(&0) {
        Ordering::Less => Some((1, 10_i128.pow(power.unsigned_abs()))),
        _ => Some((10_i128.pow(power.unsigned_abs()), 1)),
    };
    match suffix {
        "" => decimal(0),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        other => {
            let exponent: i32 = other.strip_prefix(['e', 'E'])?.parse().ok()?;
            if exponent.abs() <= 18 { decimal(exponent) } else { None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_compare_across_notations() {
        let parse = |text| Quantity::parse(text).unwrap();
        assert_eq!(parse("1Gi"), parse("1024Mi"));
        assert_eq!(parse("1.5Gi"), parse("1536Mi"));
        assert_eq!(parse("1e3"), parse("1k"));
        assert_eq!(parse("0.5"), parse("500m"));
        assert!(parse("1G") < parse("1Gi"));
        assert!(parse("-1") < parse("0"));
        assert_eq!(parse("10Gi").whole(), 10 * 1024 * 1024 * 1024);
        assert_eq!(parse("1E"), parse("1000P"));
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in ["", "Gi", "10 Gi", "ten", "1.2.3", "1e", "1e99", "10gb", "--1", "."] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }
}
