//! Which traces are kept. Source: OpenTelemetry trace SDK specification, "Sampling".

use pitviper_model::TraceId;

/// A head sampler: a rule for roots, and whether children follow their parent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether a span with a parent does as its parent did.
    pub parent_based: bool,
    /// The share of trace ids kept, 0 to 1.
    pub ratio: f64,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { parent_based: true, ratio: 1.0 }
    }
}

impl Sampler {
    /// The sampler that OpenTelemetry's `OTEL_TRACES_SAMPLER` names.
    #[must_use]
    pub fn parse(name: &str, argument: f64) -> Option<Self> {
        let (parent_based, rule) = match name.strip_prefix("parentbased_") {
            Some(rule) => (true, rule),
            None => (false, name),
        };
        let ratio = match rule {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" if (0.0..=1.0).contains(&argument) => argument,
            _ => return None,
        };
        Some(Self { parent_based, ratio })
    }

    /// The largest low half of a trace id that is kept, and whether any is.
    pub(crate) fn threshold(self) -> u64 {
        (self.ratio * u64::MAX as f64) as u64
    }
}

/// Whether a trace id falls below the threshold of its sampler.
pub(crate) fn keeps(threshold: u64, trace_id: TraceId) -> bool {
    let low = u64::from_be_bytes(trace_id.0[8..].try_into().expect("half a trace id is eight bytes"));
    threshold == u64::MAX || low < threshold
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id;

    #[test]
    fn reads_the_names_of_the_specification() {
        assert_eq!(Sampler::parse("always_on", 0.1), Some(Sampler { parent_based: false, ratio: 1.0 }));
        assert_eq!(Sampler::parse("parentbased_traceidratio", 0.1), Some(Sampler { parent_based: true, ratio: 0.1 }));
        assert_eq!(Sampler::parse("traceidratio", 1.5), None);
        assert_eq!(Sampler::parse("jaeger_remote", 0.1), None);
    }

    #[test]
    fn keeps_the_share_it_was_told() {
        let threshold = Sampler { parent_based: true, ratio: 0.25 }.threshold();
        let kept = (0..40_000).filter(|_| keeps(threshold, id::trace_id())).count();
        // Six standard deviations around 10,000.
        assert!((9_480..=10_520).contains(&kept), "{kept}");
        let edges = [(1.0, true), (0.0, false)];
        for (ratio, kept) in edges {
            let threshold = Sampler { parent_based: true, ratio }.threshold();
            assert_eq!(keeps(threshold, TraceId([255; 16])), kept);
            assert_eq!(keeps(threshold, TraceId([0; 16])), kept);
        }
    }
}
