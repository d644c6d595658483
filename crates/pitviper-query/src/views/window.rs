//! The time range of a question, and its division into steps.

use pitviper_store::TimeRange;
use pitviper_store::schema::METRIC_BUCKET_NS;

use crate::QueryError;
use crate::time::{DEFAULT_FROM, DEFAULT_TO, TimeError, TimeText};

const MINUTE_NS: i64 = 60_000_000_000;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const DAY_NS: i64 = 24 * HOUR_NS;

/// Steps people think in, each a multiple of the metric bucket. Beyond the last one, whole days.
const STEPS_NS: [i64; 15] = [
    METRIC_BUCKET_NS,
    2 * METRIC_BUCKET_NS,
    3 * METRIC_BUCKET_NS,
    MINUTE_NS,
    2 * MINUTE_NS,
    5 * MINUTE_NS,
    10 * MINUTE_NS,
    15 * MINUTE_NS,
    30 * MINUTE_NS,
    HOUR_NS,
    2 * HOUR_NS,
    3 * HOUR_NS,
    6 * HOUR_NS,
    12 * HOUR_NS,
    DAY_NS,
];

/// Most steps a caller may ask for.
pub(crate) const MAX_POINTS: u32 = 2_000;

/// A time range, perhaps in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The range. In steps, both ends lie on a step: the start was moved back, the end forward.
    pub range: TimeRange,
    /// Width of a step in nanoseconds.
    pub step_ns: Option<i64>,
    /// The current time in nanoseconds since the epoch: what lies behind it has not happened.
    pub now_ns: i64,
}

impl Window {
    /// The window between two times; the defaults are the last hour.
    ///
    /// # Errors
    /// When a time cannot be read, or the range is empty.
    pub fn new(from: Option<&TimeText>, to: Option<&TimeText>, now_us: i64) -> Result<Self, QueryError> {
        let resolve = |parameter, time: Option<&TimeText>, default: &str| {
            let text;
            let time = match time {
                Some(time) => time,
                None => {
                    text = TimeText::Text(default.to_owned());
                    &text
                }
            };
            time.resolve(now_us).map_err(|source| QueryError::Time { parameter, source })
        };
        let start = resolve("from", from, DEFAULT_FROM)?;
        let end = resolve("to", to, DEFAULT_TO)?;
        if start >= end {
            return Err(QueryError::Time { parameter: "from", source: TimeError::EmptyRange });
        }
        // In bounds because resolving checked that the nanoseconds fit.
        Ok(Self {
            range: TimeRange { start_ns: start * 1_000, end_ns: end * 1_000 },
            step_ns: None,
            now_ns: now_us.saturating_mul(1_000),
        })
    }

    /// The same window in at most `points` steps, and one more where the ends were moved outwards to
    /// lie on a step. No step is narrower than the buckets that the store has, in nanoseconds: it
    /// would be empty more often than not.
    ///
    /// # Errors
    /// When `points` is zero or more than an answer may have.
    pub fn in_steps(self, parameter: &'static str, points: u32, bucket_ns: i64) -> Result<Self, QueryError> {
        if !(1..=MAX_POINTS).contains(&points) {
            let message = format!("has to be between 1 and {MAX_POINTS}");
            return Err(QueryError::Parameter { parameter, message });
        }
        let length = self.range.end_ns.saturating_sub(self.range.start_ns);
        let wanted = (length / i64::from(points) + i64::from(length % i64::from(points) > 0)).max(bucket_ns);
        let step = STEPS_NS.into_iter().find(|step| *step >= wanted).unwrap_or_else(|| {
            let days = wanted / DAY_NS + i64::from(wanted % DAY_NS > 0);
            days * DAY_NS
        });
        Ok(Self { step_ns: Some(step), ..self.outwards(step) })
    }

    /// The same window in steps of a duration such as `30s`, `5m`, `1h` or `1d`; both ends are moved
    /// outwards to lie on a step.
    ///
    /// # Errors
    /// When the text is not such a duration, or makes more steps than an answer may have.
    pub fn in_steps_of(self, parameter: &'static str, text: &str) -> Result<Self, QueryError> {
        let wrong = |message: String| QueryError::Parameter { parameter, message };
        let step = step_ns(text).ok_or_else(|| {
            wrong("has to be `auto`, null, or a duration such as 30s, 5m, 1h or 1d, at least a second".to_owned())
        })?;
        let window = self.outwards(step);
        let window = Self { step_ns: Some(step), ..window };
        if window.steps() > MAX_POINTS as usize + 1 {
            return Err(wrong(format!("makes more than {MAX_POINTS} steps; choose a wider one or a shorter range")));
        }
        Ok(window)
    }

    /// The same window in one piece, both ends moved outwards to lie on a metric bucket.
    #[must_use]
    pub fn on_buckets(self) -> Self {
        self.outwards(METRIC_BUCKET_NS)
    }

    fn outwards(self, step: i64) -> Self {
        let start_ns = self.range.start_ns.div_euclid(step) * step;
        let end_ns = (self.range.end_ns.saturating_add(step - 1)).div_euclid(step) * step;
        Self { range: TimeRange { start_ns, end_ns }, ..self }
    }

    /// How many steps there are; one when there are no steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        let length = self.range.end_ns - self.range.start_ns;
        self.step_ns.map_or(1, |step| usize::try_from(length / step).unwrap_or(0))
    }

    /// Start of a step in nanoseconds.
    #[must_use]
    pub fn step_start_ns(&self, index: usize) -> i64 {
        self.range.start_ns + self.step_ns.unwrap_or(0) * i64::try_from(index).unwrap_or(i64::MAX)
    }

    /// Which step a step start belongs to; `None` outside the window.
    #[must_use]
    pub fn index_of(&self, step_start_ns: i64) -> Option<usize> {
        let offset = step_start_ns.checked_sub(self.range.start_ns).filter(|offset| *offset >= 0)?;
        let index = usize::try_from(self.step_ns.map_or(0, |step| offset / step)).ok()?;
        (index < self.steps()).then_some(index)
    }

    /// Seconds of a step that have happened, at least one metric bucket; `None` when none have.
    /// A rate divides by these, so that it does not sink in the step that is under way.
    #[must_use]
    pub fn elapsed_seconds(&self, index: usize) -> Option<f64> {
        let start = self.step_start_ns(index);
        let end = self.step_ns.map_or(self.range.end_ns, |step| start + step);
        elapsed(start, end, self.now_ns)
    }

    /// Seconds of a step that have happened, at least one metric bucket or one step, whichever is less;
    /// `None` when none have.
    #[must_use]
    pub fn step_seconds(&self, index: usize) -> Option<f64> {
        let narrow = self.step_ns.filter(|step| *step < METRIC_BUCKET_NS);
        self.elapsed_seconds(index).map(|seconds| narrow.map_or(seconds, |step| step as f64 / 1e9))
    }

    /// Seconds of the whole window that have happened, at least one metric bucket.
    #[must_use]
    pub fn total_seconds(&self) -> f64 {
        elapsed(self.range.start_ns, self.range.end_ns, self.now_ns).unwrap_or(METRIC_BUCKET_NS as f64 / 1e9)
    }
}

/// The nanoseconds of a duration of whole seconds, minutes, hours or days.
fn step_ns(text: &str) -> Option<i64> {
    let units = [("s", 1_000_000_000), ("m", MINUTE_NS), ("h", HOUR_NS), ("d", DAY_NS)];
    let (digits, unit) = units.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse::<i64>().ok().filter(|number| is_number && *number > 0)?.checked_mul(unit)
}

fn elapsed(start_ns: i64, end_ns: i64, now_ns: i64) -> Option<f64> {
    let happened = end_ns.min(now_ns) - start_ns;
    (happened > 0).then(|| happened.max(METRIC_BUCKET_NS) as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: i64 = 1_000_000;
    /// 2026-11-21 01:26:07.
    const NOW: i64 = 1_795_224_367 * SECOND_US;

    fn window(from: &str, to: &str) -> Window {
        let text = |text: &str| TimeText::Text(text.to_owned());
        Window::new(Some(&text(from)), Some(&text(to)), NOW).unwrap()
    }

    #[test]
    fn an_hour_in_sixty_points_has_minutes() {
        let window = window("now-1h", "now").in_steps("points", 60, METRIC_BUCKET_NS).unwrap();
        assert_eq!(window.step_ns, Some(60_000_000_000));
        assert_eq!(window.steps(), 61);
        assert_eq!(window.range.start_ns, (1_795_224_367 - 3_600 - 7) * 1_000_000_000);
        assert_eq!(window.range.end_ns, (1_795_224_367 + 53) * 1_000_000_000);
        assert_eq!(window.index_of(window.range.start_ns), Some(0));
        assert_eq!(window.index_of(window.step_start_ns(60)), Some(60));
        assert_eq!(window.index_of(window.range.end_ns), None);
        assert_eq!(window.index_of(window.range.start_ns - 1), None);
        // Seven seconds of the last minute have happened; a bucket is the least a rate divides by.
        assert_eq!(window.elapsed_seconds(60), Some(10.0));
        assert_eq!(window.elapsed_seconds(0), Some(60.0));
        assert_eq!(window.total_seconds(), 3_607.0);
    }

    #[test]
    fn steps_suit_every_length() {
        for (from, points, step_s) in [
            ("now-1m", 60, 10),
            ("now-15m", 30, 30),
            ("now-1d", 120, 900),
            ("now-7d", 100, 7_200),
            ("now-365d", 100, 345_600),
        ] {
            let window = window(from, "now").in_steps("points", points, METRIC_BUCKET_NS).unwrap();
            assert_eq!(window.step_ns, Some(step_s * 1_000_000_000), "{from}");
            assert!(window.steps() <= points as usize + 1, "{from}: {}", window.steps());
        }
    }

    #[test]
    fn the_future_has_no_seconds() {
        let window = window("now", "now+1h").in_steps("points", 60, METRIC_BUCKET_NS).unwrap();
        assert_eq!(window.elapsed_seconds(5), None);
    }

    #[test]
    fn refuses_empty_ranges_and_silly_points() {
        let text = |text: &str| TimeText::Text(text.to_owned());
        assert!(matches!(
            Window::new(Some(&text("now")), Some(&text("now")), NOW),
            Err(QueryError::Time { parameter: "from", source: TimeError::EmptyRange })
        ));
        assert!(window("now-1h", "now").in_steps("points", 0, METRIC_BUCKET_NS).is_err());
        assert!(window("now-1h", "now").in_steps("points", 2_001, METRIC_BUCKET_NS).is_err());
        let all = Window::new(
            Some(&TimeText::Micros(-9_000_000_000_000_000)),
            Some(&TimeText::Micros(9_000_000_000_000_000)),
            NOW,
        )
        .unwrap();
        assert!(all.in_steps("points", 2_000, METRIC_BUCKET_NS).unwrap().steps() <= 2_001);
    }
}
