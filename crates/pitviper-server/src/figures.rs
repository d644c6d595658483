//! Shows what became of received spans and requests under `/metrics`.

use std::sync::Arc;

use pitviper_api::{Exposition, MetricsSource};
use pitviper_ingest::Ingest;

/// The figures of the receivers.
pub(crate) struct IngestFigures(pub(crate) Arc<Ingest>);

impl MetricsSource for IngestFigures {
    fn collect(&self, out: &mut Exposition) {
        let outcomes = self.0.outcomes();
        let spans: Vec<_> = outcomes
            .iter()
            .map(|count| {
                let transport = ("transport", count.transport.as_str());
                ([transport, ("outcome", count.outcome), ("reason", count.reason)], count.count as f64)
            })
            .collect();
        let help = "Spans by outcome; received is stored plus rejected plus dropped once nothing is under way";
        write(out, "pitviper_spans_total", help, &spans);
        let requests = self.0.requests();
        let requests: Vec<_> = requests
            .iter()
            .map(|count| {
                let transport = ("transport", count.protocol.as_str());
                ([transport, ("outcome", count.outcome), ("reason", count.reason)], count.count as f64)
            })
            .collect();
        let help = "Export requests accepted, or refused for a reason; each has one outcome";
        write(out, "pitviper_ingest_requests_total", help, &requests);
    }
}

fn write<const N: usize>(
    out: &mut Exposition,
    name: &str,
    help: &str,
    samples: &[([(&'static str, &'static str); N], f64)],
) {
    let samples: Vec<(&[(&str, &str)], f64)> = samples.iter().map(|(labels, value)| (&labels[..], *value)).collect();
    out.counter(name, help, &samples);
}
