//! Numbers and durations as text.

use super::ast::Number;

/// Units of durations and their nanoseconds, longest first.
pub(super) const UNITS: [(&str, f64); 7] =
    [("h", 3_600e9), ("m", 60e9), ("s", 1e9), ("ms", 1e6), ("us", 1e3), ("µs", 1e3), ("ns", 1.0)];

/// Below this every whole number has an exact float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Splits `1.5ms` into its number and its unit; `None` when it does not start with a number.
pub(super) fn split(text: &str) -> Option<(f64, &str)> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let whole = digits(end);
    end += whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        end += if fraction > 0 { 1 + fraction } else { 0 };
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits((end + 1 + sign).min(bytes.len()));
        end += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    let number: f64 = text[..end].parse().ok()?;
    number.is_finite().then_some((number, &text[end..]))
}

/// The nanoseconds of a unit.
pub(super) fn nanoseconds(unit: &str) -> Option<f64> {
    UNITS.iter().find(|(name, _)| *name == unit).map(|(_, nanoseconds)| *nanoseconds)
}

/// Units of attributes and what they stand for, in any case.
const SCALES: [(&str, f64); 8] = [
    ("b", 1.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("tb", 1e12),
    ("kib", 1_024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
];

/// A number of bytes or percent, or just a number; `None` when that is not its unit.
pub(super) fn scaled(number: f64, unit: &str) -> Option<f64> {
    match unit {
        "" => Some(number),
        "%" => Some(number / 100.0),
        _ => SCALES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, scale)| number * scale),
    }
}

/// The unit of time that was probably meant.
pub(super) fn meant(unit: &str) -> Option<&'static str> {
    match unit.to_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "min" | "mins" | "minute" | "minutes" => Some("m"),
        "msec" | "millis" => Some("ms"),
        other => UNITS.iter().map(|(name, _)| *name).find(|name| *name == other),
    }
}

/// The shortest text that reads back as the same number.
pub(super) fn number_text(number: Number) -> String {
    let text = format!("{:?}", number.0);
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A duration in the longest unit it is a whole number of.
pub(super) fn duration_text(duration: Number) -> String {
    let ns = duration.0;
    let unit = UNITS.iter().find(|(name, unit)| *name != "µs" && ns != 0.0 && ns < EXACT && ns % unit == 0.0);
    match unit {
        Some((name, unit)) => format!("{}{name}", number_text(Number(ns / unit))),
        None => format!("{}ns", number_text(duration)),
    }
}
