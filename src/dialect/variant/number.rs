//! Numbers of VARIANT values: their canonical text, exact decimals and doubles out of it, and their order.

use std::fmt::Write as _;

/// The most digits of a fixed-point number; one with more is a DOUBLE.
const MAX_DIGITS: usize = 38;

/// Appends a fixed-point number: `unscaled` × 10^-`scale`.
pub fn fixed(out: &mut String, unscaled: i128, scale: u8) {
    let start = out.len();
    if scale == 0 {
        let _ = write!(out, "{unscaled}");
        return;
    }
    let (sign, digits) = (unscaled < 0, unscaled.unsigned_abs());
    let unit = 10_u128.pow(u32::from(scale.min(38)));
    let (whole, fraction) = (digits / unit, digits % unit);
    if sign {
        out.push('-');
    }
    let _ = write!(out, "{whole}");
    if fraction > 0 {
        let _ = write!(out, ".{fraction:0width$}", width = usize::from(scale));
        let kept = out.trim_end_matches('0').len();
        out.truncate(kept.max(start + 1));
    }
}

/// Appends a DOUBLE.
pub fn double(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("F\"NaN\"");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "F\"Infinity\"" } else { "F\"-Infinity\"" });
    } else {
        let _ = write!(out, "{:e}", if value == 0.0 { 0.0 } else { value });
    }
}

/// Appends the number of a JSON literal: its sign, digits, fraction digits, and whether it has an exponent.
pub(super) fn literal(out: &mut String, text: &str) {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let exponent = unsigned.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if exponent || whole.len() + fraction.len() > MAX_DIGITS {
        return double(out, text.parse().unwrap_or(f64::NAN));
    }
    if whole.is_empty() && fraction.is_empty() {
        return out.push('0');
    }
    if text.starts_with('-') {
        out.push('-');
    }
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
}

/// The float nearest to a canonical number.
pub fn to_f64(text: &str) -> Option<f64> {
    match text {
        "F\"NaN\"" => Some(f64::NAN),
        "F\"Infinity\"" => Some(f64::INFINITY),
        "F\"-Infinity\"" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

/// A canonical number rounded half away from zero to `scale` digits after the point; none where it has more than 38
/// digits then or is not finite.
pub fn to_fixed(text: &str, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let negative = mantissa.starts_with('-');
    let mut digits: Vec<u8> = Vec::with_capacity(40);
    let mut point = None;
    for byte in mantissa.bytes().skip(usize::from(negative)) {
        match byte {
            b'.' => point = Some(digits.len()),
            b'0'..=b'9' => digits.push(byte - b'0'),
            _ => return None,
        }
    }
    let before = point.unwrap_or(digits.len()) as i32 + exponent;
    let kept = before + i32::from(scale);
    if kept < 0 {
        return Some(0);
    }
    let kept = kept as usize;
    let mut value: i128 = 0;
    for at in 0..kept {
        value = value.checked_mul(10)?.checked_add(i128::from(digits.get(at).copied().unwrap_or(0)))?;
    }
    if digits.get(kept).is_some_and(|digit| *digit >= 5) {
        value += 1;
    }
    (value < 10_i128.pow(38)).then_some(if negative { -value } else { value })
}

/// Appends bytes that order as the numbers do, whichever way they are written.
pub(super) fn sort_key(out: &mut Vec<u8>, text: &str) {
    match text {
        "F\"NaN\"" => return out.push(4),
        "F\"Infinity\"" => return out.push(3),
        "F\"-Infinity\"" => return out.push(0),
        _ => {}
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let negative = mantissa.starts_with('-');
    let mantissa = mantissa.trim_start_matches('-');
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut point = whole.len() as i32 + exponent.parse::<i32>().unwrap_or(0);
    let digits = whole.bytes().chain(fraction.bytes());
    let leading = digits.clone().take_while(|digit| *digit == b'0').count();
    point -= leading as i32;
    let mut digits: Vec<u8> = digits.skip(leading).collect();
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    if digits.is_empty() {
        return out.push(2);
    }
    out.push(if negative { 1 } else { 2 });
    let start = out.len();
    out.push(1);
    out.extend_from_slice(&((i64::from(point) + (1 << 31)) as u32).to_be_bytes());
    out.extend_from_slice(&digits);
    out.push(0);
    if negative {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_point_numbers_lose_no_digit_and_keep_no_zero() {
        let show = |unscaled, scale| {
            let mut out = String::new();
            fixed(&mut out, unscaled, scale);
            out
        };
        assert_eq!(show(150, 2), "1.5");
        assert_eq!(show(-5, 3), "-0.005");
        assert_eq!(show(1000, 1), "100");
        assert_eq!(show(0, 2), "0");
        assert_eq!(
            show(99_999_999_999_999_999_999_999_999_999_999_999_999, 37),
            "9.9999999999999999999999999999999999999"
        );
    }

    #[test]
    fn literals_are_exact_or_double() {
        let show = |text| {
            let mut out = String::new();
            literal(&mut out, text);
            out
        };
        assert_eq!(show("1.0"), "1");
        assert_eq!(show("-0.50"), "-0.5");
        assert_eq!(show("-0"), "0");
        assert_eq!(show("1.912e2"), "1.912e2");
        assert_eq!(show("123456789012345678901234567890123456789"), "1.2345678901234568e38");
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        assert_eq!(to_fixed("1.5", 0), Some(2));
        assert_eq!(to_fixed("-1.5", 0), Some(-2));
        assert_eq!(to_fixed("1.912e2", 1), Some(1912));
        assert_eq!(to_fixed("4e-1", 0), Some(0));
        assert_eq!(to_fixed("5e-1", 0), Some(1));
        assert_eq!(to_fixed("5e-3", 0), Some(0));
        assert_eq!(to_fixed("1e40", 0), None);
    }

    #[test]
    fn keys_order_as_numbers() {
        let sorted = [
            "F\"-Infinity\"",
            "-1e3",
            "-2.5",
            "-2",
            "-0.1",
            "0",
            "1e-1",
            "0.11",
            "1",
            "1.5",
            "2",
            "1e1",
            "F\"Infinity\"",
            "F\"NaN\"",
        ];
        let keys: Vec<Vec<u8>> = sorted
            .iter()
            .map(|text| {
                let mut key = Vec::new();
                sort_key(&mut key, text);
                key
            })
            .collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        let key = |text| {
            let mut key = Vec::new();
            sort_key(&mut key, text);
            key
        };
        assert_eq!(key("3"), key("3e0"));
    }
}
