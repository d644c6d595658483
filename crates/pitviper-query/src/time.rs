//! Times as users write them: microseconds, ISO 8601, or relative to now.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest text that is looked at; no valid time is longer.
const MAX_TEXT_BYTES: usize = 64;

/// Times beyond this many microseconds either side of the epoch do not fit the store's nanoseconds.
const MAX_ABS_US: i64 = i64::MAX / 1_000;

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

/// Start of the range when the caller gives none.
pub const DEFAULT_FROM: &str = "now-1h";
/// End of the range when the caller gives none.
pub const DEFAULT_TO: &str = "now";

/// Why a time is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// It is in none of the known forms.
    #[error(
        "`{0}` is not a time; use microseconds since the epoch, ISO 8601, `now` or `now-15m` (units s, m, h, d, w)"
    )]
    Unknown(String),
    /// It has the form of a date but no such day or hour exists.
    #[error("`{0}` is not in the calendar")]
    NotInCalendar(String),
    /// It is too far from the epoch.
    #[error("`{0}` is too far in the past or in the future")]
    OutOfRange(String),
    /// The range ends before it starts.
    #[error("the range is empty: `from` has to be before `to`")]
    EmptyRange,
}

/// A time in a request: microseconds as a number, or any of the text forms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum TimeText {
    /// Microseconds since the Unix epoch.
    Micros(i64),
    /// Microseconds, ISO 8601, `now` or `now-15m`.
    Text(String),
}

impl TimeText {
    /// The time in microseconds since the epoch.
    ///
    /// # Errors
    /// When the text is not a time or the time does not fit the store.
    pub fn resolve(&self, now_us: i64) -> Result<i64, TimeError> {
        match self {
            Self::Micros(micros) => in_range(*micros, || micros.to_string()),
            Self::Text(text) => parse(text, now_us),
        }
    }
}

/// How long after its end a time range is taken for closed; late spans may still come.
const CLOSED_AFTER_US: i64 = MINUTE_US;

/// Whether a range is given in absolute times and ended at least a minute ago, so that the same question
/// most likely has the same answer again.
#[must_use]
pub fn is_closed(from: Option<&TimeText>, to: Option<&TimeText>, now_us: i64) -> bool {
    let absolute = |time: Option<&TimeText>| {
        let time = time?;
        let is_relative = matches!(time, TimeText::Text(text) if text.trim().starts_with("now"));
        time.resolve(now_us).ok().filter(|_| !is_relative)
    };
    absolute(from).is_some() && absolute(to).is_some_and(|end| end <= now_us.saturating_sub(CLOSED_AFTER_US))
}

/// Reads a time.
///
/// # Errors
/// When the text is not a time or the time does not fit the store.
pub fn parse(text: &str, now_us: i64) -> Result<i64, TimeError> {
    let text = text.trim();
    if text.len() > MAX_TEXT_BYTES {
        let start: String = text.chars().take(MAX_TEXT_BYTES / 4).collect();
        return Err(TimeError::Unknown(format!("{start}…")));
    }
    if let Some(offset) = text.strip_prefix("now") {
        return relative(offset, now_us).unwrap_or_else(|| Err(TimeError::Unknown(text.to_owned())));
    }
    if let Ok(micros) = text.parse::<i64>() {
        return in_range(micros, || text.to_owned());
    }
    iso8601(text)
}

fn in_range(micros: i64, text: impl Fn() -> String) -> Result<i64, TimeError> {
    if (-MAX_ABS_US..=MAX_ABS_US).contains(&micros) { Ok(micros) } else { Err(TimeError::OutOfRange(text())) }
}

/// Reads what follows `now`: nothing, or a sign, a number and a unit. `None` when it is neither.
fn relative(offset: &str, now_us: i64) -> Option<Result<i64, TimeError>> {
    if offset.is_empty() {
        return Some(Ok(now_us));
    }
    let sign = match offset.as_bytes()[0] {
        b'-' => -1,
        b'+' => 1,
        _ => return None,
    };
    let rest = &offset[1..];
    let unit = match rest.as_bytes().last()? {
        b's' => SECOND_US,
        b'm' => MINUTE_US,
        b'h' => HOUR_US,
        b'd' => DAY_US,
        b'w' => 7 * DAY_US,
        _ => return None,
    };
    let digits = &rest[..rest.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let too_far = || TimeError::OutOfRange(format!("now{offset}"));
    let time = digits
        .parse::<i64>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
        .and_then(|distance| now_us.checked_add(sign * distance));
    Some(time.ok_or_else(too_far).and_then(|micros| in_range(micros, || format!("now{offset}"))))
}

/// Reads the fields of an ISO 8601 date or date and time one after the other.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (head, tail) = self.rest.split_at_checked(count)?;
        if !head.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.rest = tail;
        Some(head.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
    }

    fn byte(&mut self, wanted: &[u8]) -> Option<u8> {
        let (&first, tail) = self.rest.split_first()?;
        wanted.contains(&first).then(|| {
            self.rest = tail;
            first
        })
    }

    /// Digits of a fraction as microseconds; further digits are cut off.
    fn fraction(&mut self) -> Option<i64> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        let micros = (0..6)
            .fold(0, |number, index| number * 10 + if index < count { i64::from(self.rest[index] - b'0') } else { 0 });
        self.rest = &self.rest[count..];
        Some(micros)
    }

    /// `Z`, an offset from UTC, or nothing, which means UTC. In microseconds.
    fn zone(&mut self) -> Option<i64> {
        if self.rest.is_empty() || self.byte(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.byte(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.digits(2)?;
        self.byte(b":");
        let minutes = if self.rest.is_empty() { 0 } else { self.digits(2)? };
        (hours < 24 && minutes < 60).then_some(sign * (hours * HOUR_US + minutes * MINUTE_US))
    }
}

fn iso8601(text: &str) -> Result<i64, TimeError> {
    let unknown = || TimeError::Unknown(text.to_owned());
    let mut fields = Fields { rest: text.as_bytes() };
    let (day, clock_us, zone_us) = read_iso8601(&mut fields).filter(|_| fields.rest.is_empty()).ok_or_else(unknown)?;
    let (Some(days), Some(clock_us)) = (day, clock_us) else {
        return Err(TimeError::NotInCalendar(text.to_owned()));
    };
    in_range(days * DAY_US + clock_us - zone_us, || text.to_owned())
}

/// The day since the epoch, the time of the day and the zone; the first two are `None` when their
/// fields are well formed and do not exist.
fn read_iso8601(fields: &mut Fields<'_>) -> Option<(Option<i64>, Option<i64>, i64)> {
    let year = fields.digits(4)?;
    fields.byte(b"-")?;
    let month = fields.digits(2)?;
    fields.byte(b"-")?;
    let day = days_from_civil(year, month, fields.digits(2)?);
    if fields.rest.is_empty() {
        return Some((day, Some(0), 0));
    }
    fields.byte(b"Tt ")?;
    let hours = fields.digits(2)?;
    fields.byte(b":")?;
    let minutes = fields.digits(2)?;
    let mut seconds = 0;
    let mut micros = 0;
    if fields.byte(b":").is_some() {
        seconds = fields.digits(2)?;
        if fields.byte(b".,").is_some() {
            micros = fields.fraction()?;
        }
    }
    let zone = fields.zone()?;
    let exists = hours < 24 && minutes < 60 && seconds < 60;
    let clock = exists.then_some(hours * HOUR_US + minutes * MINUTE_US + seconds * SECOND_US + micros);
    Some((day, clock, zone))
}

/// Days since the epoch of a day in the Gregorian calendar; `None` when there is no such day.
/// Years are counted from March, so that the leap day is the last of the year.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// A time in nanoseconds since the epoch as ISO 8601 in UTC, with as many digits behind the second as it
/// needs, by threes.
#[must_use]
pub fn iso8601_of(time_ns: i64) -> String {
    const SECOND_NS: i64 = 1_000_000_000;
    let (seconds, nanos) = (time_ns.div_euclid(SECOND_NS), time_ns.rem_euclid(SECOND_NS));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let (hours, minutes, seconds) = (second / 3_600, second / 60 % 60, second % 60);
    let fraction = match nanos {
        0 => String::new(),
        whole if whole % 1_000_000 == 0 => format!(".{:03}", whole / 1_000_000),
        whole if whole % 1_000 == 0 => format!(".{:06}", whole / 1_000),
        whole => format!(".{whole:09}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}{fraction}Z")
}

/// The year, month and day so many days after the epoch; the other way round than [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_795_224_367_000_123;

    #[track_caller]
    fn check(text: &str, expected: i64) {
        assert_eq!(parse(text, NOW), Ok(expected), "{text}");
    }

    #[test]
    fn reads_microseconds_and_relative_times() {
        check("1795224367000123", NOW);
        check("-5", -5);
        check("now", NOW);
        check(" now-15m ", NOW - 15 * 60 * 1_000_000);
        check("now-1h", NOW - 3_600_000_000);
        check("now-7d", NOW - 7 * 86_400_000_000);
        check("now-2w", NOW - 14 * 86_400_000_000);
        check("now+30s", NOW + 30_000_000);
    }

    #[test]
    fn a_range_is_closed_a_minute_after_its_end() {
        let text = |text: &str| Some(TimeText::Text(text.to_owned()));
        let closed = |from: &str, to: &str| is_closed(text(from).as_ref(), text(to).as_ref(), NOW);
        assert!(closed("2026-11-20", "2026-11-21"));
        assert!(!closed("now-2h", "2026-11-21") && !closed("2026-11-20", "now-1h"));
        assert!(!closed("2026-11-20", &(NOW - 59_000_000).to_string()));
        assert!(closed("2026-11-20", &(NOW - 60_000_000).to_string()));
        assert!(!is_closed(None, text("2026-11-21").as_ref(), NOW) && !closed("2026-11-20", "nonsense"));
    }

    #[test]
    fn reads_iso_8601() {
        check("1970-01-01", 0);
        check("1970-01-01T00:00:01Z", 1_000_000);
        check("1969-12-31T23:59:59.5Z", -500_000);
        check("2024-02-29T12:00Z", 1_709_208_000_000_000);
        check("2026-11-21T04:35:00.123456789Z", 1_795_235_700_123_456);
        check("2026-11-21 05:35:00+01:00", 1_795_235_700_000_000);
        check("2026-11-20T23:05:00-0530", 1_795_235_700_000_000);
        check("2026-11-21t04:35:00", 1_795_235_700_000_000);
        check("1700-03-01", -8_515_238_400_000_000);
    }

    #[test]
    fn says_what_is_wrong() {
        for text in [
            "",
            "yesterday",
            "now-",
            "now-m",
            "now-1y",
            "now- 1h",
            "2026-11",
            "2026-11-21T",
            "2026-11-21T04:35:00+",
            "nowish",
        ] {
            assert!(matches!(parse(text, NOW), Err(TimeError::Unknown(_))), "{text}: {:?}", parse(text, NOW));
        }
        for text in ["2026-02-29", "2026-13-01", "2026-04-31", "2026-11-21T24:00Z", "2026-11-21T10:61"] {
            assert!(matches!(parse(text, NOW), Err(TimeError::NotInCalendar(_))), "{text}: {:?}", parse(text, NOW));
        }
        for text in ["0001-01-01", "9999-12-31", "9223372036854775807", "now-99999999999999d", "now+999999999w"] {
            assert!(matches!(parse(text, NOW), Err(TimeError::OutOfRange(_))), "{text}: {:?}", parse(text, NOW));
        }
        assert!(matches!(TimeText::Micros(i64::MIN).resolve(NOW), Err(TimeError::OutOfRange(_))));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,80}") {
            let _ = parse(&text, NOW);
        }

        #[test]
        fn printed_times_are_read_back(micros in -MAX_ABS_US / 3..MAX_ABS_US) {
            let text = iso8601_of(micros * 1_000);
            prop_assert_eq!(parse(&text, NOW), Ok(micros), "{}", text);
        }

        #[test]
        fn consecutive_days_differ_by_one(year in 1i64..9999, month in 1i64..=12, day in 1i64..=31) {
            if let (Some(today), Some(tomorrow)) = (days_from_civil(year, month, day), days_from_civil(year, month, day + 1)) {
                prop_assert_eq!(tomorrow - today, 1);
            }
            let last = (28..=31).rev().find_map(|day| days_from_civil(year, month, day)).unwrap();
            let next = if month == 12 { days_from_civil(year + 1, 1, 1) } else { days_from_civil(year, month + 1, 1) };
            prop_assert_eq!(next.unwrap() - last, 1);
        }
    }
}
