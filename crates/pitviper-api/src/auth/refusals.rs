//! Counts who was not let in.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::exposition::{Exposition, MetricsSource};

/// Requests refused before anything looked at what they ask for.
#[derive(Debug, Default)]
pub struct Refusals {
    http_token: AtomicU64,
    http_host: AtomicU64,
    grpc_token: AtomicU64,
}

impl Refusals {
    /// A gRPC call came without the token, or with another.
    pub fn count_grpc(&self) {
        self.grpc_token.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_token(&self) {
        self.http_token.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_host(&self) {
        self.http_host.fetch_add(1, Ordering::Relaxed);
    }
}

impl MetricsSource for Refusals {
    fn collect(&self, out: &mut Exposition) {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let samples: [(&[(&str, &str)], f64); 3] = [
            (&[("protocol", "http"), ("reason", "token")], value(&self.http_token)),
            (&[("protocol", "http"), ("reason", "host")], value(&self.http_host)),
            (&[("protocol", "grpc"), ("reason", "token")], value(&self.grpc_token)),
        ];
        let help = "Requests refused for a missing or wrong token, or for a foreign host";
        out.counter("pitviper_access_refusals_total", help, &samples);
    }
}
