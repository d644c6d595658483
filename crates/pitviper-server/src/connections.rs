//! Connections: how many each port has, and how they ended.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use pitviper_api::{Exposition, MetricsSource};

/// What connections come in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    Http,
    OtlpHttp,
    OtlpGrpc,
    Datadog,
    DatadogSocket,
}

impl Port {
    const ALL: [Self; 5] = [Self::Http, Self::OtlpHttp, Self::OtlpGrpc, Self::Datadog, Self::DatadogSocket];

    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::OtlpHttp => "otlp_http",
            Self::OtlpGrpc => "otlp_grpc",
            Self::Datadog => "datadog",
            Self::DatadogSocket => "datadog_socket",
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By either side, between two requests.
    Closed,
    /// No head of a request came in time.
    HeadTimeout,
    /// The head of a request was too large: a flood of headers, or of baggage in one.
    HeadTooLarge,
    /// What came is no request.
    BadHead,
    /// The client left in the midst of something, or broke the rules of the protocol.
    Broken,
    /// There were as many connections as there may be.
    TurnedAway,
}

impl Ended {
    const ALL: [Self; 6] =
        [Self::Closed, Self::HeadTimeout, Self::HeadTooLarge, Self::BadHead, Self::Broken, Self::TurnedAway];

    fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HeadTimeout => "head_timeout",
            Self::HeadTooLarge => "head_too_large",
            Self::BadHead => "bad_head",
            Self::Broken => "broken",
            Self::TurnedAway => "turned_away",
        }
    }

    /// What an error says of the end of its connection.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<hyper::Error>() {
                if error.is_timeout() {
                    return Self::HeadTimeout;
                }
                if error.is_parse_too_large() {
                    return Self::HeadTooLarge;
                }
                if error.is_parse() {
                    return Self::BadHead;
                }
            }
            if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                return Self::HeadTimeout;
            }
            cause = error.source();
        }
        Self::Broken
    }
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    ended: [AtomicU64; Ended::ALL.len()],
}

/// Connections of all ports.
#[derive(Debug, Default)]
pub(crate) struct Connections([Counts; Port::ALL.len()]);

impl Connections {
    fn of(&self, port: Port) -> &Counts {
        &self.0[port as usize]
    }

    pub(crate) fn opened(&self, port: Port) {
        self.of(port).open.fetch_add(1, Ordering::Relaxed);
    }

    /// One that was open has ended.
    pub(crate) fn ended(&self, port: Port, how: Ended) {
        self.of(port).open.fetch_sub(1, Ordering::Relaxed);
        self.of(port).ended[how as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// One was never let in.
    pub(crate) fn turned_away(&self, port: Port) {
        self.of(port).ended[Ended::TurnedAway as usize].fetch_add(1, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn count(&self, port: Port, how: Ended) -> u64 {
        self.of(port).ended[how as usize].load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn open(&self, port: Port) -> u64 {
        self.of(port).open.load(Ordering::Relaxed)
    }
}

impl MetricsSource for Connections {
    fn collect(&self, out: &mut Exposition) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        let open = Port::ALL.map(|port| ([("port", port.as_str())], count(&self.of(port).open)));
        let open: Vec<(&[(&str, &str)], f64)> = open.iter().map(|(labels, value)| (&labels[..], *value)).collect();
        out.gauge("pitviper_connections", "Connections that are open", &open);
        let mut ended = Vec::new();
        for port in Port::ALL {
            for (how, counter) in Ended::ALL.into_iter().zip(&self.of(port).ended) {
                ended.push(([("port", port.as_str()), ("outcome", how.as_str())], count(counter)));
            }
        }
        let ended: Vec<(&[(&str, &str)], f64)> = ended.iter().map(|(labels, value)| (&labels[..], *value)).collect();
        out.counter("pitviper_connections_total", "Connections that have ended, by how they did", &ended);
    }
}
