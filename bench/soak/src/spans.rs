//! Requests of whole traces: a trace lies in one request, so it is stored as a whole or not at all.

use std::time::{SystemTime, UNIX_EPOCH};

use pitviper_model::{Resource, Scope, SpanId, SpanKind, StatusCode, TraceId};
use pitviper_wire::encode::{Scalar, SpanEncoder, SpanHead, append_resource_spans};

/// Spans of a trace.
pub(crate) const SPANS_A_TRACE: u64 = 8;
const TRACES_A_REQUEST: u64 = 8;
/// Of so many requests one has spans that no server should keep.
const UNFIT_EVERY: u64 = 10;
/// Spans without a trace id in such a request.
const UNFIT_SPANS: u64 = 3;
/// Of so many requests one cannot be read at all.
const UNREADABLE_EVERY: u64 = 50;
const ATTRIBUTE_LIMIT: u32 = 128;

/// A request, and what is in it.
pub(crate) struct Request {
    /// An `ExportTraceServiceRequest`, or something that is none.
    pub(crate) body: Vec<u8>,
    pub(crate) traces: Vec<TraceId>,
    /// Spans that are to be rejected.
    pub(crate) unfit: u64,
    /// Whether the body can be read.
    pub(crate) readable: bool,
}

impl Request {
    /// Spans that are fit to keep.
    pub(crate) fn fit(&self) -> u64 {
        self.traces.len() as u64 * SPANS_A_TRACE
    }
}

/// Makes the requests of one client.
pub(crate) struct Requests {
    client: u64,
    number: u64,
    random: u64,
    encoder: SpanEncoder,
    resource: Resource,
    scope: Scope,
}

impl Requests {
    pub(crate) fn new(client: u64) -> Self {
        let mut resource = Resource::default();
        resource.attributes.set("service.name", format!("soak-{}", client % 3));
        resource.attributes.set("service.instance.id", format!("instance-{client}"));
        resource.attributes.set("deployment.environment.name", "bench");
        Self {
            client,
            number: 0,
            random: client + 1,
            encoder: SpanEncoder::default(),
            resource,
            scope: Scope { name: "soak".to_owned(), ..Scope::default() },
        }
    }

    pub(crate) fn next(&mut self) -> Request {
        self.number += 1;
        let mut spans = Vec::new();
        let traces: Vec<TraceId> = (0..TRACES_A_REQUEST).map(|part| self.trace(&mut spans, part)).collect();
        let unfit = if self.number.is_multiple_of(UNFIT_EVERY) { UNFIT_SPANS } else { 0 };
        for number in 0..unfit {
            self.span(&mut spans, TraceId::INVALID, number + 1, now_ns());
        }
        let mut body = Vec::new();
        append_resource_spans(&mut body, &self.resource, &[(&self.scope, &spans)]);
        let readable = !self.number.is_multiple_of(UNREADABLE_EVERY);
        if !readable {
            // Ends within a field.
            body.truncate(body.len() - 1);
        }
        Request { body, traces, unfit, readable }
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The trace's id says who made it, so that none is made twice.
    fn trace(&mut self, spans: &mut Vec<u8>, part: u64) -> TraceId {
        let number = u128::from(self.client + 1) << 64 | u128::from(self.number * TRACES_A_REQUEST + part);
        let trace_id = TraceId(number.to_be_bytes());
        let start = now_ns() - self.draw() % 1_000_000_000;
        for place in 1..=SPANS_A_TRACE {
            self.span(spans, trace_id, place, start + place * 1_000_000);
        }
        trace_id
    }

    fn span(&mut self, spans: &mut Vec<u8>, trace_id: TraceId, place: u64, start: u64) {
        let random = self.draw();
        self.encoder.clear();
        let mut set = |key: &str, value: Scalar<'_>| self.encoder.attributes.set(key, value, ATTRIBUTE_LIMIT);
        let (name, kind) = if place == 1 {
            set("http.route", Scalar::Str(&format!("/soak/{}", random % 20)));
            set("http.response.status_code", Scalar::Int(if random.is_multiple_of(50) { 500 } else { 200 }));
            set("user.id", Scalar::Str(&format!("user-{}", random % 50_000)));
            (format!("GET /soak/{}", random % 20), SpanKind::Server)
        } else {
            set("db.system.name", Scalar::Str("postgresql"));
            set("db.query.text", Scalar::Str(&format!("SELECT * FROM item_{place} WHERE id = ?")));
            // Does not compress, so that there is something to let go.
            set("request.token", Scalar::Str(&format!("{random:016x}{:016x}", random.rotate_left(21) ^ start)));
            (format!("SELECT item_{place}"), SpanKind::Client)
        };
        let head = SpanHead {
            trace_id,
            span_id: SpanId(place.to_be_bytes()),
            parent_span_id: if place == 1 { SpanId::INVALID } else { SpanId(1u64.to_be_bytes()) },
            trace_state: "",
            flags: 0x101,
            kind,
            start_time_unix_nano: start,
        };
        let failed = place == 1 && random.is_multiple_of(50);
        let (status, message) = if failed { (StatusCode::Error, "out of soap") } else { (StatusCode::Unset, "") };
        self.encoder.append_span(spans, &head, &name, start + random % 100_000_000, status, message);
    }
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
