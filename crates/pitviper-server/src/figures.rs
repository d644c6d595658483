//! Shows what became of received spans and requests under `/metrics`.

use std::sync::Arc;

use pitviper_api::{Exposition, MetricsSource};
use pitviper_ingest::{Ingest, OutcomeCount};

/// The figures of the receivers.
pub(crate) struct IngestFigures(pub(crate) Arc<Ingest>);

/// The outcome under which ingest counts what came in.
const RECEIVED: &str = "received";

impl MetricsSource for IngestFigures {
    fn collect(&self, out: &mut Exposition) {
        let (received, settled): (Vec<OutcomeCount>, Vec<OutcomeCount>) =
            self.0.outcomes().into_iter().partition(|count| count.outcome == RECEIVED);
        let received: Vec<_> =
            received.iter().map(|count| ([("transport", count.transport.as_str())], count.count as f64)).collect();
        write(out, "pitviper_ingest_spans_received_total", "Spans that came in", &received);
        let settled: Vec<_> = settled
            .iter()
            .map(|count| {
                let transport = ("transport", count.transport.as_str());
                ([transport, ("outcome", count.outcome), ("reason", count.reason)], count.count as f64)
            })
            .collect();
        let help = "What became of the spans; adds up to those that came in once nothing is under way";
        write(out, "pitviper_ingest_spans_total", help, &settled);
        let requests = self.0.requests();
        let requests: Vec<_> = requests
            .iter()
            .map(|count| ([("outcome", count.outcome), ("reason", count.reason)], count.count as f64))
            .collect();
        write(out, "pitviper_ingest_requests_total", "Requests accepted, or refused before their spans were known", &requests);
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
