//! Figures in Prometheus' text format.

use std::fmt::Write as _;

use pitviper_model::{DURATION_BOUNDS_NS, DurationCounts};

/// The content type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Something with figures to show under `/metrics`.
pub trait MetricsSource: Send + Sync {
    /// Writes the current figures. Called on every scrape, so it has to be cheap.
    fn collect(&self, out: &mut Exposition);
}

/// Text in the making. All samples of one metric have to be written one after the other.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Writes a counter, with a sample for each set of labels.
    pub fn counter(&mut self, name: &str, help: &str, samples: &[(&[(&str, &str)], f64)]) {
        self.metric(name, help, "counter", samples);
    }

    /// Writes a gauge, with a sample for each set of labels.
    pub fn gauge(&mut self, name: &str, help: &str, samples: &[(&[(&str, &str)], f64)]) {
        self.metric(name, help, "gauge", samples);
    }

    /// Writes durations as a histogram in seconds, one for each set of labels.
    pub fn durations(&mut self, name: &str, help: &str, samples: &[(&[(&str, &str)], DurationCounts)]) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} histogram");
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        for (labels, counts) in samples {
            let mut below = 0;
            for (bound, count) in DURATION_BOUNDS_NS.iter().zip(counts.buckets) {
                below += count;
                self.sample(&format!("{name}_bucket"), labels, Some(&seconds(*bound).to_string()), below as f64);
            }
            self.sample(&format!("{name}_bucket"), labels, Some("+Inf"), counts.count as f64);
            self.sample(&format!("{name}_sum"), labels, None, seconds(counts.sum_ns));
            self.sample(&format!("{name}_count"), labels, None, counts.count as f64);
        }
    }

    fn metric(&mut self, name: &str, help: &str, kind: &str, samples: &[(&[(&str, &str)], f64)]) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            self.sample(name, labels, None, *value);
        }
    }

    /// One line; of a histogram's bucket with its upper bound.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], bound: Option<&str>, value: f64) {
        self.text.push_str(name);
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut is_first = true;
        for (label, text) in labels {
            self.text.push(if is_first { '{' } else { ',' });
            is_first = false;
            let _ = write!(self.text, "{label}=\"");
            for character in text.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        let _ = writeln!(self.text, "{} {value}", if is_first { "" } else { "}" });
    }

    /// The text written so far.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_escapes() {
        let mut out = Exposition::default();
        out.counter("a_total", "all of them", &[(&[], 3.0)]);
        out.gauge(
            "b",
            "by kind",
            &[(&[("kind", "x\"\\\n"), ("unit", "s")], 0.5), (&[("kind", "y"), ("unit", "s")], 1e12)],
        );
        assert_eq!(
            out.finish(),
            "# HELP a_total all of them\n# TYPE a_total counter\na_total 3\n# HELP b by kind\n# TYPE b gauge\n\
             b{kind=\"x\\\"\\\\\\n\",unit=\"s\"} 0.5\nb{kind=\"y\",unit=\"s\"} 1000000000000\n"
        );
    }
}
