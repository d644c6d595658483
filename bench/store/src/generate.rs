//! Spans as a mid-sized company makes them, the same for every run.
//!
//! Sixty services with a long tail: the first makes a sixth of the traces, the last a few in a
//! thousand. Traces have from one span to fifty thousand, most of them a few dozen. A trace is drawn
//! from its number alone, so any part of the data can be made anew to know the right answer.
//! Attributes are those of web requests, statements, calls and caches: some with few values, a user
//! id with 200,000 of unequal weight, a path and a request id that hardly repeat, and an order id
//! that stands in one trace of a hundred.

use std::sync::Arc;

use pitviper_model::{
    Attributes, Event, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind, Status, StatusCode, TraceId,
};

const SEED: u64 = 0x7069_7476_6970_6572;
pub(crate) const SERVICES: u64 = 60;
const USERS: u64 = 200_000;
/// One trace of so many is an order, fails, is a giant.
pub(crate) const ORDER_EVERY: u64 = 100;
const FAILURE_EVERY: u64 = 80;
pub(crate) const GIANT_EVERY: u64 = 400_000;
pub(crate) const GIANT_SPANS: u64 = 50_000;
/// How the traces are spread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How many spans, at least; the last trace is whole.
    pub(crate) spans: u64,
    /// When the first begins, in nanoseconds since the Unix epoch.
    pub(crate) start_ns: u64,
    /// The time they are spread over.
    pub(crate) span_of_time_ns: u64,
}

/// Numbers that look random, from a seed (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed ^ SEED))
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit.max(1)
    }

    /// Small numbers far more often than large ones.
    fn skewed(&mut self, limit: u64) -> u64 {
        let share = (self.draw() >> 11) as f64 / (1u64 << 53) as f64;
        ((limit as f64).powf(share) - 1.0) as u64
    }
}

fn mix(seed: u64) -> u64 {
    let mut z = seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn trace_id(trace: u64) -> TraceId {
    let mut dice = Dice::new(trace);
    TraceId((u128::from(dice.draw()) << 64 | u128::from(dice.draw())).to_be_bytes())
}

pub(crate) fn user(number: u64) -> String {
    format!("user-{number}")
}

pub(crate) fn order(trace: u64) -> String {
    format!("order-{:012}", mix(trace) % 1_000_000_000_000)
}

pub(crate) fn service(number: u64) -> String {
    const KINDS: [&str; 12] = [
        "web", "checkout", "catalog", "accounts", "search", "payments", "mail", "stock", "reports", "media", "pricing",
        "audit",
    ];
    let kind = KINDS[(number % 12) as usize];
    if number < 12 { kind.to_owned() } else { format!("{kind}-{}", number / 12) }
}

/// How many spans the trace has.
pub(crate) fn size(trace: u64) -> u64 {
    if trace % GIANT_EVERY == GIANT_EVERY / 2 {
        return GIANT_SPANS;
    }
    let mut dice = Dice::new(!trace);
    match dice.below(1_000) {
        0..250 => 1,
        250..700 => 2 + dice.below(14),
        700..985 => 16 + dice.below(60),
        985..999 => 80 + dice.below(420),
        _ => 500 + dice.below(4_500),
    }
}

/// One trace, its spans by service.
pub(crate) fn trace(number: u64, start_ns: u64, out: &mut Vec<ResourceSpans>) {
    let mut dice = Dice::new(number.wrapping_mul(31));
    let trace_id = trace_id(number);
    let spans = size(number);
    let entry = dice.skewed(SERVICES);
    // A giant is a job over many records, not a request.
    let depth_services: Vec<u64> = (0..1 + dice.below(4)).map(|_| dice.skewed(SERVICES)).chain([entry]).collect();
    let failed = dice.below(FAILURE_EVERY) == 0;
    let duration = 1_000_000 + dice.skewed(4_000_000_000) + spans * 20_000;
    let user = user(dice.skewed(USERS));
    let ids: Vec<SpanId> = (0..spans).map(|_| SpanId(dice.draw().to_be_bytes())).collect();
    let mut by_service: Vec<(u64, Vec<Span>)> = Vec::new();
    for place in 0..spans {
        let service = if place == 0 { entry } else { depth_services[dice.below(depth_services.len() as u64) as usize] };
        // Parents lie not far before, which gives trees of a natural depth.
        let parent = place.checked_sub(1 + dice.below(place.min(9)));
        let mut attributes = Attributes::default();
        let (name, kind) = describe(place, service, &mut dice, &mut attributes);
        if place == 0 {
            attributes.set("user.id", user.clone());
            attributes.set("request.id", format!("{:016x}", dice.draw()));
            if number.is_multiple_of(ORDER_EVERY) {
                attributes.set("order.id", order(number));
            }
        }
        let begin = if place == 0 { 0 } else { duration / spans * place };
        let length = if place == 0 { duration } else { 1 + dice.skewed(duration - begin) };
        let mut span = Span {
            trace_id,
            span_id: ids[place as usize],
            parent_span_id: parent.map_or(SpanId::INVALID, |parent| ids[parent as usize]),
            name,
            kind,
            start_time_unix_nano: start_ns + begin,
            end_time_unix_nano: start_ns + begin + length,
            attributes,
            flags: 0x101,
            ..Span::default()
        };
        if failed && (place == 0 || place + 1 == spans) {
            fail(&mut span, &mut dice);
        }
        match by_service.iter_mut().find(|(known, _)| *known == service) {
            Some((_, spans)) => spans.push(span),
            None => by_service.push((service, vec![span])),
        }
    }
    for (service, spans) in by_service {
        out.push(ResourceSpans {
            resource: Arc::new(resource(service, number % 3)),
            scopes: vec![ScopeSpans { scope: Arc::new(scope()), spans }],
        });
    }
}

fn describe(place: u64, service: u64, dice: &mut Dice, attributes: &mut Attributes) -> (String, SpanKind) {
    let operation = dice.skewed(12 + service % 30);
    if place == 0 {
        let route = format!("/{}/{operation}/<id>", self::service(service));
        attributes.set("http.request.method", "GET");
        attributes.set("http.route", route.clone());
        attributes.set("url.path", format!("/{}/{operation}/{}", self::service(service), dice.below(10_000_000)));
        attributes.set("http.response.status_code", if dice.below(50) == 0 { 404 } else { 200 });
        attributes.set("client.address", format!("10.{}.{}.{}", dice.below(4), dice.below(256), dice.below(256)));
        return (format!("GET {route}"), SpanKind::Server);
    }
    match dice.below(10) {
        0..5 => {
            attributes.set("db.system.name", "postgresql");
            attributes.set("db.namespace", self::service(service));
            attributes.set("db.query.text", format!("SELECT * FROM table_{operation} WHERE tenant = ? AND id = ?"));
            attributes.set("db.response.returned_rows", dice.skewed(500) as i64);
            (format!("SELECT table_{operation}"), SpanKind::Client)
        }
        5..7 => {
            attributes.set("db.system.name", "redis");
            attributes.set("db.operation.name", "GET");
            attributes.set("cache.hit", dice.below(4) > 0);
            ("GET".to_owned(), SpanKind::Client)
        }
        7..9 => {
            let peer = dice.skewed(SERVICES);
            attributes.set("http.request.method", "POST");
            attributes.set("server.address", self::service(peer));
            attributes
                .set("url.full", format!("http://{}/api/{operation}/{}", self::service(peer), dice.below(100_000)));
            attributes.set("http.response.status_code", 200);
            ("POST".to_owned(), SpanKind::Client)
        }
        _ => {
            attributes.set("code.function.name", format!("module_{operation}.work"));
            (format!("module_{operation}.work"), SpanKind::Internal)
        }
    }
}

fn fail(span: &mut Span, dice: &mut Dice) {
    const ERRORS: [(&str, &str); 4] = [
        ("TimeoutError", "the pool gave no connection in 5 s"),
        ("KeyError", "'price'"),
        ("psycopg.errors.DeadlockDetected", "deadlock detected"),
        ("requests.exceptions.ConnectionError", "connection refused"),
    ];
    let (kind, message) = ERRORS[dice.below(4) as usize];
    span.status = Status { code: StatusCode::Error, message: format!("{kind}: {message}") };
    span.attributes.set("error.type", kind);
    let mut attributes = Attributes::default();
    attributes.set("exception.type", kind);
    attributes.set("exception.message", message);
    let frames: String =
        (0..8).map(|line| format!("  File \"/app/module_{line}.py\", line {}\n", dice.below(400))).collect();
    attributes.set("exception.stacktrace", format!("Traceback (most recent call last):\n{frames}{kind}: {message}"));
    let time_unix_nano = span.end_time_unix_nano;
    span.events.push(Event { time_unix_nano, name: "exception".to_owned(), attributes, ..Event::default() });
}

fn resource(service: u64, instance: u64) -> Resource {
    let mut resource = Resource::default();
    let name = self::service(service);
    resource.attributes.set("service.instance.id", format!("{name}-{instance}"));
    resource.attributes.set("host.name", format!("host-{}", (service + instance) % 24));
    resource.attributes.set("process.pid", (4_000 + service * 10 + instance) as i64);
    resource.attributes.set("service.name", name);
    resource.attributes.set("service.version", format!("1.{}", service % 7));
    resource.attributes.set("deployment.environment.name", if service % 9 == 8 { "staging" } else { "prod" });
    resource.attributes.set("telemetry.sdk.language", "python");
    resource
}

fn scope() -> Scope {
    Scope { name: "pitviper.flask".to_owned(), version: "3.1.3".to_owned(), ..Scope::default() }
}
