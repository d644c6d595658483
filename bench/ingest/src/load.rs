//! Clients that send as fast as the server accepts.

use std::time::{Duration, Instant};

use crate::datadog::Payloads;
use crate::send::{Answer, sender};
use crate::spans::{Requests, SPANS_A_REQUEST};

/// What the clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// OTLP over HTTP, protobuf.
    Otlp,
    /// OTLP over gRPC.
    OtlpGrpc,
    /// Datadog's MessagePack, version 0.5.
    Datadog,
}

impl Wire {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Otlp => "OTLP over HTTP, protobuf",
            Self::OtlpGrpc => "OTLP over gRPC",
            Self::Datadog => "Datadog's MessagePack, version 0.5",
        }
    }

    /// What makes the bodies of one client.
    fn bodies(self, client: u64) -> Box<dyn FnMut() -> Vec<u8>> {
        match self {
            Self::Otlp | Self::OtlpGrpc => {
                let mut requests = Requests::new(client);
                Box::new(move || requests.next())
            }
            Self::Datadog => {
                let mut payloads = Payloads::new(client);
                Box::new(move || payloads.next())
            }
        }
    }
}

/// What the server did with the requests.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Spans in requests that were accepted.
    pub(crate) accepted: u64,
    /// Requests the server asked to send again later.
    pub(crate) refused: u64,
    /// Requests that failed otherwise.
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    pub(crate) sent_bytes: u64,
    answers: Vec<Duration>,
}

impl Load {
    /// Sends over so many connections for so long.
    pub(crate) fn run(url: &str, wire: Wire, connections: usize, duration: Duration) -> Self {
        let until = Instant::now() + duration;
        let parts = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..connections)
                .map(|client| scope.spawn(move || one_client(url, wire, client as u64, until)))
                .collect();
            clients.into_iter().map(|client| client.join().unwrap_or_default()).collect::<Vec<_>>()
        });
        let mut whole = Self::default();
        for part in parts {
            whole.accepted += part.accepted;
            whole.refused += part.refused;
            whole.failed += part.failed;
            whole.first_failure = whole.first_failure.or(part.first_failure);
            whole.sent_bytes += part.sent_bytes;
            whole.answers.extend(part.answers);
        }
        whole.answers.sort();
        whole
    }

    /// Median, 99th percentile and maximum of the time to the answer, in milliseconds.
    pub(crate) fn latency(&self) -> String {
        let at = |share: f64| {
            let last = self.answers.len().saturating_sub(1);
            self.answers.get((last as f64 * share) as usize).map_or(0.0, |answer| answer.as_secs_f64() * 1e3)
        };
        format!("{:.1} {:.1} {:.1}", at(0.5), at(0.99), at(1.0))
    }
}

fn one_client(url: &str, wire: Wire, client: u64, until: Instant) -> Load {
    let mut load = Load::default();
    let mut send = match sender(wire, url) {
        Ok(send) => send,
        Err(error) => return Load { failed: 1, first_failure: Some(format!("{error:#}")), ..load },
    };
    let mut next = wire.bodies(client);
    while Instant::now() < until {
        let body = next();
        let began = Instant::now();
        let answer = send(&body);
        load.answers.push(began.elapsed());
        match answer {
            Answer::Accepted => {
                load.accepted += SPANS_A_REQUEST;
                load.sent_bytes += body.len() as u64;
            }
            Answer::Later => {
                load.refused += 1;
                std::thread::sleep(Duration::from_millis(100));
            }
            Answer::Failed(why) => {
                load.failed += 1;
                load.first_failure.get_or_insert(why);
            }
        }
    }
    load
}
