//! Questions of every kind, all the time. An answer has to be one, and a trace has to be whole.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Shared, http};
use crate::spans::SPANS_A_TRACE;

/// Rest between questions.
const PAUSE: Duration = Duration::from_millis(30);

/// What is looked for, one after the other.
const QUERIES: [&str; 10] = [
    "",
    "service:soak-1",
    "status:error",
    "user.id:user-77",
    "name:SELECT* duration:>50ms",
    "db.query.text:/item_[3-5]/",
    "soap",
    "{is:entry status:error} >> {db.system.name:postgresql}",
    "{kind:client} < {is:root}",
    "service:soak-2 | count() > 5",
];

const PAGES: [&str; 5] =
    ["/api/v1/services", "/api/v1/complete?query=na", "/api/v1/complete?query=name:SEL", "/api/v1/meta", "/metrics"];

/// Answers by kind of question, and the longest that one took.
pub(crate) type Answers = BTreeMap<&'static str, (u64, Duration)>;

/// Asks until the run is over.
pub(crate) fn run(shared: &Shared) -> Answers {
    let agent = http();
    let mut answers = Answers::new();
    for round in 0.. {
        if shared.is_over() {
            break;
        }
        let address = shared.addresses().http;
        let began = Instant::now();
        let (kind, outcome) = match round % 4 {
            0 => {
                let order = ["-start", "start", "-duration"][round / 4 % 3];
                let mode = ["traces", "spans"][round / 8 % 2];
                let body = json!({ "query": QUERIES[round / 4 % QUERIES.len()], "order": order, "mode": mode });
                ("search", post(&agent, &format!("http://{address}/api/v1/spans/search"), &body))
            }
            1 => {
                let body = json!({ "query": QUERIES[round / 4 % QUERIES.len()] });
                ("facets", post(&agent, &format!("http://{address}/api/v1/facets"), &body))
            }
            2 => ("page", get(&agent, &format!("http://{address}{}", PAGES[round / 4 % PAGES.len()]))),
            _ => ("trace", trace(shared, &agent, &address)),
        };
        match outcome {
            // A server that is busy beyond its time limit says so, which is an answer as well.
            Ok(status @ (200 | 404 | 504)) => {
                let kind = if status == 504 { "questions out of time" } else { kind };
                let (count, longest) = answers.entry(kind).or_default();
                *count += 1;
                *longest = began.elapsed().max(*longest);
            }
            Ok(status) => shared.fail(format!("{kind} was answered with {status}")),
            Err(()) => {
                shared.away.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(PAUSE);
    }
    answers
}

fn post(agent: &ureq::Agent, url: &str, body: &Value) -> Result<u16, ()> {
    let mut answer =
        agent.post(url).header("content-type", "application/json").send(body.to_string()).map_err(|_| ())?;
    answer.body_mut().read_to_vec().map_err(|_| ())?;
    Ok(answer.status().as_u16())
}

fn get(agent: &ureq::Agent, url: &str) -> Result<u16, ()> {
    let mut answer = agent.get(url).call().map_err(|_| ())?;
    answer.body_mut().read_to_vec().map_err(|_| ())?;
    Ok(answer.status().as_u16())
}

/// A trace that was acknowledged is there as a whole, each span once, unless it was let go since.
fn trace(shared: &Shared, agent: &ureq::Agent, address: &str) -> Result<u16, ()> {
    let trace_id = {
        let recent = shared.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(recent.len() / 2).copied()
    };
    let Some(trace_id) = trace_id else { return Ok(404) };
    let mut answer = agent.get(format!("http://{address}/api/v1/traces/{trace_id}/spans")).call().map_err(|_| ())?;
    let body = answer.body_mut().read_to_vec().map_err(|_| ())?;
    let status = answer.status().as_u16();
    if status == 200 {
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut ids: Vec<&str> =
            answer["data"].as_array().into_iter().flatten().filter_map(|row| row["span_id"].as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() as u64 != SPANS_A_TRACE || answer["data"].as_array().map(Vec::len) != Some(ids.len()) {
            shared.fail(format!("trace {trace_id} has {} distinct spans of {SPANS_A_TRACE}", ids.len()));
        }
    }
    Ok(status)
}
