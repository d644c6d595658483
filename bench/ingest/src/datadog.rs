//! The same web shop as ddtrace would send it: MessagePack, version 0.5, a table of texts for each request.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::spans::mix;

const SPANS_A_TRACE: u64 = 8;
const TRACES_A_REQUEST: u64 = 64;
const ROUTES: u64 = 40;
const USERS: u64 = 50_000;
/// Of so many traces one fails.
const FAILING: u64 = 50;

/// Makes the requests of one client.
pub(crate) struct Payloads {
    random: u64,
    service: String,
    table: HashMap<String, u64>,
    texts: Vec<u8>,
}

impl Payloads {
    pub(crate) fn new(client: u64) -> Self {
        let random = mix(client ^ u64::from(std::process::id()) << 32);
        Self { random, service: format!("shop-{}", client % 4), table: HashMap::new(), texts: Vec::new() }
    }

    /// The next body of `/v0.5/traces`.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        self.table.clear();
        self.texts.clear();
        self.number("");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let mut traces = Vec::new();
        list(&mut traces, TRACES_A_REQUEST);
        for _ in 0..TRACES_A_REQUEST {
            self.trace(&mut traces, now);
        }
        let mut body = vec![0x92];
        list(&mut body, self.table.len() as u64);
        body.extend_from_slice(&self.texts);
        body.extend_from_slice(&traces);
        body
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random)
    }

    /// The place of a text in the table.
    fn number(&mut self, text: &str) -> u64 {
        if let Some(place) = self.table.get(text) {
            return *place;
        }
        self.texts.push(0xdb);
        self.texts.extend_from_slice(&(text.len() as u32).to_be_bytes());
        self.texts.extend_from_slice(text.as_bytes());
        let place = self.table.len() as u64;
        self.table.insert(text.to_owned(), place);
        place
    }

    fn trace(&mut self, out: &mut Vec<u8>, now: u64) {
        list(out, SPANS_A_TRACE);
        let (trace_id, root) = (self.draw(), self.draw());
        let start = now - self.draw() % 1_000_000_000;
        let duration = 1_000_000 + self.draw() % 200_000_000;
        let route = self.draw() % ROUTES;
        let failed = self.draw().is_multiple_of(FAILING);
        let high = format!("{:08x}00000000", now / 1_000_000_000);
        for place in 0..SPANS_A_TRACE {
            let random = self.draw();
            let (names, mut meta, metrics) = describe(place, route, random, failed);
            if place == 0 {
                meta.push(("_dd.p.tid", high.clone()));
            }
            out.push(0x9c);
            let service = self.service.clone();
            for text in [&service, &names[0], &names[1]] {
                let number = self.number(text);
                write(out, number);
            }
            let (span_id, parent) = if place == 0 { (root, 0) } else { (self.draw(), root) };
            let begin = start + place * (duration / 10);
            let took = if place == 0 { duration } else { random % (duration / 10) };
            for number in [trace_id, span_id, parent, begin, took, u64::from(place == 0 && failed)] {
                write(out, number);
            }
            out.push(0x80 | meta.len() as u8);
            for (key, value) in &meta {
                for text in [*key, value.as_str()] {
                    let number = self.number(text);
                    write(out, number);
                }
            }
            out.push(0x80 | metrics.len() as u8);
            for (key, value) in metrics {
                let number = self.number(key);
                write(out, number);
                out.push(0xcb);
                out.extend_from_slice(&value.to_be_bytes());
            }
            let span_type = self.number(&names[2]);
            write(out, span_type);
        }
    }
}

type Tags = Vec<(&'static str, String)>;

/// Operation, resource and type of a span, its texts and its numbers.
fn describe(place: u64, route: u64, random: u64, failed: bool) -> ([String; 3], Tags, Vec<(&'static str, f64)>) {
    match place {
        0 => {
            let names = ["flask.request".to_owned(), format!("GET /shop/{route}/<id>"), "web".to_owned()];
            let meta = vec![
                ("span.kind", "server".to_owned()),
                ("component", "flask".to_owned()),
                ("env", "bench".to_owned()),
                ("language", "python".to_owned()),
                ("runtime-id", "0123456789abcdef0123456789abcdef".to_owned()),
                ("http.method", "GET".to_owned()),
                ("http.route", format!("/shop/{route}/<id>")),
                ("http.url", format!("http://shop/shop/{route}/{}", random % 1_000_000)),
                ("http.status_code", if failed { "500" } else { "200" }.to_owned()),
                ("usr.id", format!("user-{}", random % USERS)),
            ];
            (names, meta, vec![("_dd.top_level", 1.0), ("_sampling_priority_v1", 1.0), ("process_id", 7.0)])
        }
        1..=5 => {
            let statement = format!("SELECT * FROM item_{place} WHERE shop_id = %s AND id = %s");
            let meta = vec![
                ("span.kind", "client".to_owned()),
                ("component", "psycopg".to_owned()),
                ("env", "bench".to_owned()),
                ("db.system", "postgresql".to_owned()),
            ];
            let metrics = vec![("db.row_count", (random % 100) as f64), ("_dd.measured", 1.0)];
            (["postgres.query".to_owned(), statement, "sql".to_owned()], meta, metrics)
        }
        _ => {
            let page = format!("page_{place}.html");
            let meta = vec![("component", "jinja2".to_owned()), ("env", "bench".to_owned())];
            (["jinja2.render".to_owned(), page, "template".to_owned()], meta, Vec::new())
        }
    }
}

fn list(out: &mut Vec<u8>, length: u64) {
    out.push(0xdd);
    out.extend_from_slice(&(length as u32).to_be_bytes());
}

fn write(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=127 => out.push(number as u8),
        128..=65_535 => {
            out.push(0xcd);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}
