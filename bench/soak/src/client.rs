//! Clients that send whatever becomes of the server, and know what became of each span.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use pitviper_model::TraceId;
use pitviper_wire::decode::trace_service::ExportTraceServiceRequest;
use pitviper_wire::decode::trace_service::ExportTraceServiceResponse;
use pitviper_wire::decode::trace_service::trace_service_client::TraceServiceClient;
use prost::Message as _;
use tonic::Code;

use crate::server::Addresses;
use crate::spans::{Request, Requests};

/// Rest between requests of one client.
const PAUSE: Duration = Duration::from_millis(60);
/// Rest before a request is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long one request is tried.
const GIVE_UP: Duration = Duration::from_secs(120);
/// Traces that are remembered to be looked at.
const RECENT_TRACES: usize = 2_000;

/// What all threads of the run share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) over: AtomicBool,
    pub(crate) addresses: RwLock<Addresses>,
    /// Held shared while something is sent again, so that the server is not killed in the middle: then
    /// nobody could tell how often it was stored.
    pub(crate) resending: RwLock<()>,
    /// Traces that were acknowledged of late.
    pub(crate) recent: Mutex<VecDeque<TraceId>>,
    pub(crate) failures: Mutex<Vec<String>>,
    /// Times a server was not there to answer a question.
    pub(crate) away: AtomicU64,
}

impl Shared {
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn fail(&self, what: String) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn remember(&self, traces: &[TraceId]) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.extend(traces);
        let surplus = recent.len().saturating_sub(RECENT_TRACES);
        recent.drain(..surplus);
    }
}

/// What became of the spans of one client.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) made: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    pub(crate) dropped: u64,
    /// Spans that were stored already when they were sent again, because the answer was lost.
    pub(crate) twice: u64,
    pub(crate) requests: u64,
    pub(crate) retries: u64,
    /// The accepted traces.
    pub(crate) traces: Vec<TraceId>,
}

impl Sent {
    pub(crate) fn add(&mut self, other: Self) {
        self.made += other.made;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.dropped += other.dropped;
        self.twice += other.twice;
        self.requests += other.requests;
        self.retries += other.retries;
        self.traces.extend(other.traces);
    }
}

/// An answer of the server.
enum Answer {
    /// Everything was kept but so many spans.
    Kept(u64),
    /// Nothing was kept, and never will be.
    Refused,
    /// Nothing was kept; try again.
    Later,
    /// Nobody knows.
    Lost,
}

/// Sends until the run is over.
pub(crate) fn run(shared: &Shared, client: u64, over_grpc: bool) -> anyhow::Result<Sent> {
    let mut requests = Requests::new(client);
    let mut sent = Sent::default();
    let transport = Transport::new(over_grpc)?;
    while !shared.is_over() {
        let request = requests.next();
        sent.made += request.fit() + request.unfit;
        sent.requests += 1;
        deliver(shared, &transport, &request, &mut sent)?;
        std::thread::sleep(PAUSE);
    }
    Ok(sent)
}

/// Sends a request until its fate is known.
fn deliver(shared: &Shared, transport: &Transport, request: &Request, sent: &mut Sent) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut answer = transport.send(&shared.addresses(), request);
    loop {
        match answer {
            Answer::Kept(rejected) => {
                if !request.readable || rejected != request.unfit {
                    bail!("{rejected} spans were rejected of a request with {}", request.unfit);
                }
                sent.accepted += request.fit();
                sent.rejected += rejected;
                sent.traces.extend(&request.traces);
                shared.remember(&request.traces);
                return Ok(());
            }
            Answer::Refused if !request.readable => {
                sent.rejected += request.fit() + request.unfit;
                return Ok(());
            }
            Answer::Refused => bail!("a good request was refused"),
            Answer::Later | Answer::Lost if began.elapsed() > GIVE_UP => {
                // Whether it was kept is known to nobody, so the account would not be exact.
                if matches!(answer, Answer::Lost) {
                    bail!("the server was away for longer than {GIVE_UP:?}");
                }
                sent.dropped += request.fit() + request.unfit;
                return Ok(());
            }
            Answer::Later => {
                std::thread::sleep(RETRY_PAUSE);
                answer = transport.send(&shared.addresses(), request);
            }
            Answer::Lost => {
                std::thread::sleep(RETRY_PAUSE);
                let _held = shared.resending.read().unwrap_or_else(PoisonError::into_inner);
                let addresses = shared.addresses();
                let Some(is_there) = request.traces.first().map_or(Some(false), |id| is_stored(&addresses, *id)) else {
                    continue;
                };
                sent.retries += 1;
                answer = transport.send(&addresses, request);
                if is_there && matches!(answer, Answer::Kept(_)) {
                    sent.twice += request.fit();
                }
            }
        }
    }
}

/// Whether the server has the trace; `None` when it does not answer.
fn is_stored(addresses: &Addresses, trace_id: TraceId) -> Option<bool> {
    let url = format!("http://{}/api/v1/traces/{trace_id}", addresses.http);
    match http().get(url).call().ok()?.status().as_u16() {
        200 => Some(true),
        404 => Some(false),
        _ => None,
    }
}

/// A client whose answers are answers, whatever their status.
pub(crate) fn http() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    config.timeout_global(Some(Duration::from_secs(40))).build().into()
}

enum Transport {
    Http(ureq::Agent),
    Grpc(tokio::runtime::Runtime),
}

impl Transport {
    fn new(over_grpc: bool) -> anyhow::Result<Self> {
        Ok(if over_grpc {
            Self::Grpc(tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?)
        } else {
            Self::Http(http())
        })
    }

    fn send(&self, addresses: &Addresses, request: &Request) -> Answer {
        match self {
            // What cannot be read cannot be made a message of either, so it goes over HTTP.
            Self::Grpc(runtime) if request.readable => runtime.block_on(send_grpc(&addresses.otlp_grpc, request)),
            Self::Grpc(_) => send_http(&http(), &addresses.otlp_http, request),
            Self::Http(agent) => send_http(agent, &addresses.otlp_http, request),
        }
    }
}

fn send_http(agent: &ureq::Agent, address: &str, request: &Request) -> Answer {
    let url = format!("http://{address}/v1/traces");
    let answer = agent.post(url).header("content-type", "application/x-protobuf").send(&request.body[..]);
    let Ok(mut answer) = answer else { return Answer::Lost };
    let status = answer.status().as_u16();
    let Ok(body) = answer.body_mut().read_to_vec() else { return Answer::Lost };
    match status {
        200 => ExportTraceServiceResponse::decode(&body[..]).map_or(Answer::Lost, |response| kept(&response)),
        429 | 503 => Answer::Later,
        _ => Answer::Refused,
    }
}

fn kept(response: &ExportTraceServiceResponse) -> Answer {
    let rejected = response.partial_success.as_ref().map_or(0, |partial| partial.rejected_spans);
    Answer::Kept(rejected.cast_unsigned())
}

async fn send_grpc(address: &str, request: &Request) -> Answer {
    let Ok(message) = ExportTraceServiceRequest::decode(&request.body[..]) else { return Answer::Refused };
    let Ok(mut client) = TraceServiceClient::connect(format!("http://{address}")).await else { return Answer::Lost };
    match client.export(message).await {
        Ok(response) => kept(response.get_ref()),
        Err(status) => match status.code() {
            Code::ResourceExhausted => Answer::Later,
            Code::InvalidArgument => Answer::Refused,
            // Also what the client says when the connection broke.
            _ => Answer::Lost,
        },
    }
}
