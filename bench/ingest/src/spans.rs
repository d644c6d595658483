//! Requests full of the spans a web shop makes: eight to a trace, with ids, times and values that
//! do not repeat more than real ones do.

use std::time::{SystemTime, UNIX_EPOCH};

use pitviper_model::{Resource, Scope, SpanId, SpanKind, StatusCode, TraceId};
use pitviper_wire::encode::{Scalar, SpanEncoder, SpanHead, append_resource_spans};

const SPANS_A_TRACE: u64 = 8;
const TRACES_A_REQUEST: u64 = 64;
/// Spans in one request.
pub(crate) const SPANS_A_REQUEST: u64 = SPANS_A_TRACE * TRACES_A_REQUEST;
const ROUTES: u64 = 40;
const USERS: u64 = 50_000;
/// Of so many traces one fails.
const FAILING: u64 = 50;
const ATTRIBUTE_LIMIT: u32 = 128;

/// Makes the requests of one client.
pub(crate) struct Requests {
    random: u64,
    encoder: SpanEncoder,
    spans: Vec<u8>,
    resource: Resource,
    scope: Scope,
}

impl Requests {
    pub(crate) fn new(client: u64) -> Self {
        let mut resource = Resource::default();
        resource.attributes.set("service.name", format!("shop-{}", client % 4));
        resource.attributes.set("service.instance.id", format!("instance-{client}"));
        resource.attributes.set("deployment.environment.name", "bench");
        resource.attributes.set("telemetry.sdk.language", "python");
        Self {
            random: mix(client ^ u64::from(std::process::id()) << 32),
            encoder: SpanEncoder::default(),
            spans: Vec::new(),
            resource,
            scope: Scope { name: "bench".to_owned(), ..Scope::default() },
        }
    }

    /// The next `ExportTraceServiceRequest`.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        self.spans.clear();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        for _ in 0..TRACES_A_REQUEST {
            self.trace(now);
        }
        let mut body = Vec::new();
        append_resource_spans(&mut body, &self.resource, &[(&self.scope, &self.spans)]);
        body
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random)
    }

    fn trace(&mut self, now: u64) {
        let trace_id = TraceId((u128::from(self.draw()) << 64 | u128::from(self.draw())).to_be_bytes());
        let root = SpanId(self.draw().to_be_bytes());
        let start = now - self.draw() % 1_000_000_000;
        let duration = 1_000_000 + self.draw() % 200_000_000;
        let route = self.draw() % ROUTES;
        let failed = self.draw().is_multiple_of(FAILING);
        for place in 0..SPANS_A_TRACE {
            let span_id = if place == 0 { root } else { SpanId(self.draw().to_be_bytes()) };
            let random = self.draw();
            self.encoder.clear();
            let (name, kind) = self.describe(place, route, random, failed);
            let head = SpanHead {
                trace_id,
                span_id,
                parent_span_id: if place == 0 { SpanId::INVALID } else { root },
                trace_state: "",
                flags: 0x101,
                kind,
                start_time_unix_nano: start + place * (duration / 10),
            };
            let end = if place == 0 { start + duration } else { head.start_time_unix_nano + random % (duration / 10) };
            let (status, message) = match (place, failed) {
                (0, true) => (StatusCode::Error, "KeyError: 'price'"),
                _ => (StatusCode::Unset, ""),
            };
            self.encoder.append_span(&mut self.spans, &head, &name, end, status, message);
        }
    }

    /// Sets a span's attributes; its name and kind.
    fn describe(&mut self, place: u64, route: u64, random: u64, failed: bool) -> (String, SpanKind) {
        let mut set = |key: &str, value: Scalar<'_>| self.encoder.attributes.set(key, value, ATTRIBUTE_LIMIT);
        match place {
            0 => {
                set("http.request.method", Scalar::Str("GET"));
                set("http.route", Scalar::Str(&format!("/shop/{route}/<id>")));
                set("url.path", Scalar::Str(&format!("/shop/{route}/{}", random % 1_000_000)));
                set("http.response.status_code", Scalar::Int(if failed { 500 } else { 200 }));
                set("user.id", Scalar::Str(&format!("user-{}", random % USERS)));
                set("client.address", Scalar::Str(&format!("10.0.{}.{}", random % 256, random / 256 % 256)));
                (format!("GET /shop/{route}/<id>"), SpanKind::Server)
            }
            1..=5 => {
                set("db.system.name", Scalar::Str("postgresql"));
                set("db.query.text", Scalar::Str(&format!("SELECT * FROM item_{place} WHERE shop_id = ? AND id = ?")));
                set("db.response.returned_rows", Scalar::Int((random % 100) as i64));
                (format!("SELECT item_{place}"), SpanKind::Client)
            }
            _ => {
                set("template.name", Scalar::Str(&format!("page_{place}.html")));
                (format!("render page_{place}.html"), SpanKind::Internal)
            }
        }
    }
}

/// A small generator with good bits (SplitMix64), so that ids look like real ones.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
