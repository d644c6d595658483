//! Shows what became of received items and requests under `/metrics`.

use std::sync::Arc;

use pitviper_api::{Exposition, MetricsSource};
use pitviper_ingest::receivers::datadog::Datadog;
use pitviper_ingest::{Ingest, Subject};

/// The figures of the receivers.
pub(crate) struct Figures(pub(crate) Arc<Ingest>);

impl MetricsSource for Figures {
    fn collect(&self, out: &mut Exposition) {
        let outcomes = self.0.outcomes();
        for (signal, name, what) in [
            (Subject::Traces, "pitviper_spans_total", "Spans"),
            (Subject::Metrics, "pitviper_metric_points_total", "Points of metrics"),
            (Subject::Logs, "pitviper_log_records_total", "Log records"),
            (Subject::Profiles, "pitviper_profile_samples_total", "Samples of profiles"),
        ] {
            let items: Vec<_> = outcomes
                .iter()
                .filter(|count| count.signal == signal)
                .map(|count| {
                    let transport = ("transport", count.transport.as_str());
                    ([transport, ("outcome", count.outcome), ("reason", count.reason)], count.count as f64)
                })
                .collect();
            let help =
                format!("{what} by outcome; received is stored plus rejected plus dropped once nothing is under way");
            write(out, name, &help, &items);
        }
        let requests = self.0.requests();
        let requests: Vec<_> = requests
            .iter()
            .map(|count| {
                let (signal, transport) = (("signal", count.subject.as_str()), ("transport", count.protocol.as_str()));
                ([signal, transport, ("outcome", count.outcome), ("reason", count.reason)], count.count as f64)
            })
            .collect();
        let help = "Export requests accepted, or refused for a reason; each has one outcome";
        write(out, "pitviper_ingest_requests_total", help, &requests);
        let figures = self.0.figures();
        let gauges: [(&str, &str, u64); 3] = [
            ("pitviper_ingest_requests_under_way", "Export requests being handled", figures.requests_under_way),
            ("pitviper_ingest_bytes_under_way", "Memory these requests hold, in bytes", figures.bytes_under_way),
            ("pitviper_ingest_budget_bytes", "Most memory they may hold, in bytes", figures.bytes_budget),
        ];
        for (name, help, value) in gauges {
            out.gauge(name, help, &[(&[], value as f64)]);
        }
        let help = "Time to decompress and decode a request";
        out.durations("pitviper_ingest_decode_seconds", help, &[(&[], figures.decode)]);
        let help = "Time until what a request held was durable";
        out.durations("pitviper_ingest_append_seconds", help, &[(&[], figures.append)]);
    }
}

/// What Datadog's clients sent that is neither a span nor a request.
pub(crate) struct DatadogSource(pub(crate) Arc<Datadog>);

impl MetricsSource for DatadogSource {
    fn collect(&self, out: &mut Exposition) {
        let figures = self.0.figures();
        let lines: Vec<_> = figures.lines.iter().map(|line| ([("outcome", line.outcome)], line.count as f64)).collect();
        write(out, "pitviper_dogstatsd_lines_total", "Lines of DogStatsD by outcome", &lines);
        out.gauge("pitviper_dogstatsd_series", "Series that wait to become points", &[(&[], figures.series as f64)]);
        let counters: [(&str, &str, u64); 7] = [
            ("pitviper_dogstatsd_tags_dropped_total", "Tags of lines that have too many", figures.tags_dropped),
            ("pitviper_dogstatsd_packets_cut_total", "Packets of DogStatsD that were too long", figures.packets_cut),
            (
                "pitviper_datadog_client_dropped_spans_total",
                "Spans that clients counted and did not send",
                figures.client_dropped_spans,
            ),
            ("pitviper_datadog_stats_groups_total", "Groups of statistics that were kept", figures.stats_groups),
            ("pitviper_datadog_stats_damaged_total", "Groups of statistics that are damaged", figures.stats_damaged),
            (
                "pitviper_datadog_libraries_total",
                "Packages that clients run with, each time they say",
                figures.libraries,
            ),
            (
                "pitviper_datadog_config_errors_total",
                "Polls of clients that could not do as told",
                figures.config_errors,
            ),
        ];
        for (name, help, value) in counters {
            out.counter(name, help, &[(&[], value as f64)]);
        }
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
