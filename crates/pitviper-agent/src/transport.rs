//! One request to a receiver, and what its answer means for the items in it.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::Duration;

use flate2::write::GzEncoder;
use pitviper_model::Attributes;
use pitviper_wire::encode::rejected_items;
use ureq::unversioned::transport::DefaultConnector;

use crate::config::{Compression, Config};
use crate::lookup::Lookup;
use crate::profiles::query;
use crate::queue::{SIGNALS, Signal};

/// Longest answer that is read, in bytes.
const MAX_RESPONSE_BYTES: u64 = 64 * 1024;
/// Longest pause a receiver may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// zstd's fastest regular level; telemetry repeats itself enough for it.
const ZSTD_LEVEL: i32 = 1;
/// Who asks for settings, as the parameters of a query; a receiver that keeps none does not answer to it.
const ASKS_FOR_SETTINGS: &str = "pitviper-settings-for";
/// What settings are kept by.
const SETTINGS_ARE_FOR: [&str; 2] = ["service.name", "deployment.environment.name"];
/// What the asker is told.
const SETTINGS: &str = "pitviper-settings";

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Kept, but for that many items the receiver found invalid.
    Accepted { rejected: u64 },
    /// Not now; perhaps after this pause.
    TryAgain { after: Option<Duration>, why: String },
    /// Never.
    Refused { status: Option<u16>, why: String },
}

/// What came back for a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    /// The settings that the receiver has for this process, if it keeps any.
    pub(crate) settings: Option<String>,
}

/// Connections to the receivers of all signals, kept open between requests.
#[derive(Debug)]
pub(crate) struct Transport {
    targets: [Target; SIGNALS],
}

/// Where one signal goes.
#[derive(Debug)]
struct Target {
    http: ureq::Agent,
    url: String,
    headers: Vec<(String, String)>,
    compression: Compression,
    /// Whose settings are asked for.
    asks_for: Option<String>,
}

impl Transport {
    pub(crate) fn new(config: &Config) -> Self {
        // Signals that go to one place share its connection.
        let asks_for = config.remote_settings.then(|| asks_for(&config.resource)).flatten();
        let mut agents: [Option<ureq::Agent>; 2] = [None, None];
        let targets = Signal::ALL.map(|signal| {
            let url = config.url(signal);
            let is_loopback = is_loopback(url);
            let http = agents[usize::from(is_loopback)].get_or_insert_with(|| http_agent(config, is_loopback)).clone();
            let compression = match config.compression {
                Compression::Auto if is_loopback => Compression::None,
                Compression::Auto => Compression::Gzip,
                chosen => chosen,
            };
            Target {
                http,
                url: url.to_owned(),
                headers: config.headers(signal).to_vec(),
                compression,
                asks_for: asks_for.clone(),
            }
        });
        Self { targets }
    }

    /// Compresses a body as the receiver of this signal gets it; `None` where it gets it as it is.
    pub(crate) fn compress(&self, signal: Signal, body: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
        match self.targets[signal as usize].compression {
            Compression::None | Compression::Auto => Ok(None),
            Compression::Gzip => {
                let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
                encoder.write_all(body)?;
                encoder.finish().map(Some)
            }
            Compression::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL).map(Some),
        }
    }

    /// Posts a body that [`Transport::compress`] made, to an address that ends with a query, unless that is
    /// empty.
    pub(crate) fn post(&self, signal: Signal, query: &str, body: &[u8]) -> Reply {
        let target = &self.targets[signal as usize];
        let url = match (query.is_empty(), target.url.contains('?')) {
            (true, _) => Cow::Borrowed(&target.url),
            (false, false) => Cow::Owned(format!("{}?{query}", target.url)),
            (false, true) => Cow::Owned(format!("{}&{query}", target.url)),
        };
        let mut request = target.http.post(url.as_str()).header("content-type", "application/x-protobuf");
        match target.compression {
            Compression::Gzip => request = request.header("content-encoding", "gzip"),
            Compression::Zstd => request = request.header("content-encoding", "zstd"),
            Compression::None | Compression::Auto => {}
        }
        for (name, value) in &target.headers {
            request = request.header(name, value);
        }
        if let Some(asks_for) = &target.asks_for {
            request = request.header(ASKS_FOR_SETTINGS, asks_for);
        }
        let mut response = match request.send(body) {
            Ok(response) => response,
            Err(error) => return Reply { answer: from_error(&error), settings: None },
        };
        let settings = response.headers().get(SETTINGS).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .and_then(|seconds| seconds.trim().parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
        // Read in any case: a connection with an unread answer cannot be used again.
        let answer = response.body_mut().with_config().limit(MAX_RESPONSE_BYTES).read_to_vec();
        let answer = match status {
            200..=299 => Answer::Accepted { rejected: answer.map_or(0, |bytes| rejected_items(&bytes)) },
            429 | 502 | 503 | 504 => Answer::TryAgain { after: retry_after, why: format!("status {status}") },
            _ => Answer::Refused { status: Some(status), why: format!("status {status}") },
        };
        Reply { answer, settings }
    }
}

/// The attributes that settings are kept by, as the parameters of a query; `None` when it has none of them.
fn asks_for(resource: &Attributes) -> Option<String> {
    let mut own = Attributes::default();
    for (key, value) in resource.iter().filter(|(key, _)| SETTINGS_ARE_FOR.contains(key)) {
        own.set(key, value.clone());
    }
    Some(query(&own)).filter(|query| !query.is_empty())
}

fn http_agent(config: &Config, is_loopback: bool) -> ureq::Agent {
    let mut builder = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_millis(config.timeout_ms)))
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("pitviper/", env!("CARGO_PKG_VERSION")));
    if is_loopback {
        builder = builder.proxy(None);
    }
    ureq::Agent::with_parts(builder.build(), DefaultConnector::default(), Lookup)
}

fn from_error(error: &ureq::Error) -> Answer {
    let why = error.to_string();
    match error {
        // The address itself is wrong, and trying again would not mend it.
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
            Answer::Refused { status: None, why }
        }
        _ => Answer::TryAgain { after: None, why },
    }
}

/// Whether a URL names this machine.
fn is_loopback(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_machine() {
        for url in
            ["http://127.0.0.1:4318/v1/traces", "http://localhost/", "https://u:p@[::1]:4318/x", "http://127.1.2.3"]
        {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["http://collector:4318", "http://localhost.example", "http://10.0.0.1", "http://127.0.0.1.example/"]
        {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
