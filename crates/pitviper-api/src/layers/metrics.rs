//! Counts requests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use parking_lot::Mutex;

use crate::exposition::{Exposition, MetricsSource};

/// Requests by method, route and status. Routes are patterns, so there are few.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    counts: Mutex<BTreeMap<(String, String, u16), Count>>,
    in_flight: AtomicU64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    requests: u64,
    time: Duration,
}

/// A request that is being answered.
pub(super) struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HttpMetrics {
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    pub(super) fn count(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        // Anyone can invent a method; the usual ones are few.
        let usual = [Method::GET, Method::POST, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS];
        let method = if usual.contains(method) { method.as_str() } else { "other" };
        let mut counts = self.counts.lock();
        let count = counts.entry((method.to_owned(), route.to_owned(), status.as_u16())).or_default();
        count.requests += 1;
        count.time += took;
    }
}

impl MetricsSource for HttpMetrics {
    fn collect(&self, out: &mut Exposition) {
        let counts = self.counts.lock().clone();
        let statuses: Vec<String> = counts.keys().map(|(_, _, status)| status.to_string()).collect();
        let labels: Vec<[(&str, &str); 3]> = counts
            .keys()
            .zip(&statuses)
            .map(|((method, route, _), status)| [("method", method.as_str()), ("route", route), ("status", status)])
            .collect();
        let samples = |value: fn(&Count) -> f64| -> Vec<(&[(&str, &str)], f64)> {
            labels.iter().zip(counts.values()).map(|(labels, count)| (&labels[..], value(count))).collect()
        };
        out.counter("pitviper_http_requests_total", "HTTP requests answered", &samples(|count| count.requests as f64));
        out.counter(
            "pitviper_http_request_seconds_total",
            "Time HTTP requests took, in seconds",
            &samples(|count| count.time.as_secs_f64()),
        );
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        out.gauge("pitviper_http_requests_in_flight", "HTTP requests being answered", &[(&[], in_flight as f64)]);
    }
}
