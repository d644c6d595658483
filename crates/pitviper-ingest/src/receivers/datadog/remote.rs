//! `/v0.7/config`: what clients are told to do, and that they do it.
//!
//! Clients ask every few seconds and say what they have; the answer is a set of files, of which ddtrace
//! reads those of the product `APM_TRACING`. It looks like TUF, whose signatures clients of an agent do not
//! check; the hash of each file they do.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Request;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Datadog;
use super::figures::add;
use super::http::{json as answer_json, read, refused};
use crate::accounting::{OpenRequest, RefusalReason};
use crate::receivers::refusal::Refusal;

const JSON: &[&str] = &["application/json"];
/// Stands for every service, and for every environment.
pub(super) const ANY: &str = "*";
/// A client's word for a file it could not apply.
const APPLY_ERROR: u64 = 3;
/// Most senders of one payload whose share is told; a client sends for few.
const MAX_SENDERS: usize = 256;
/// Memory of a request once decoded, by bytes of it.
const BYTES_PER_BYTE: usize = 16;

/// Which share of some traces a client keeps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SamplingRule {
    /// Of this service; globs are understood, as in the other conditions.
    pub service: String,
    /// With this operation.
    pub name: String,
    /// With this resource.
    pub resource: String,
    /// With these tags.
    pub tags: Vec<TagCondition>,
    /// The share, 0 to 1.
    pub sample_rate: f64,
    /// Who made the rule.
    pub provenance: &'static str,
}

/// A tag a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TagCondition {
    /// Its name.
    pub key: String,
    /// A glob of its value.
    pub value_glob: String,
}

/// What clients of a service are to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Instruction {
    /// The service; `*` for all.
    pub service: String,
    /// The environment; `*` for all.
    pub environment: String,
    /// Which share of its traces to keep.
    pub sample_rate: Option<f64>,
    /// Rules that come before that.
    pub sampling_rules: Vec<SamplingRule>,
    /// Tags for all of its spans, `key:value`.
    pub tags: Vec<String>,
    /// Whether records of logging name their trace.
    pub log_injection: Option<bool>,
    /// Whether it traces at all.
    pub tracing: Option<bool>,
}

/// What all clients are to do.
#[derive(Debug)]
pub struct Remote(RwLock<Arc<Current>>);

#[derive(Debug)]
struct Current {
    /// Grows with every change.
    version: u64,
    files: Vec<File>,
    /// Service, environment and share, what is said of the service last.
    rates: Vec<(String, String, f64)>,
}

#[derive(Debug)]
struct File {
    service: String,
    environment: String,
    path: String,
    raw: String,
    sha256: String,
}

impl Remote {
    /// Instructions, whose version grows whenever they change.
    #[must_use]
    pub fn new(version: u64, instructions: &[Instruction]) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(Current::new(version, instructions)))))
    }

    /// Replaces the instructions.
    pub fn replace(&self, version: u64, instructions: &[Instruction]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Current::new(version, instructions));
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Which share of its traces each service keeps, as spans of these services and environments are answered.
    pub(super) fn rates<'a>(&self, senders: impl Iterator<Item = (&'a str, &'a str)>) -> String {
        self.current().rates_for(senders)
    }
}

impl Current {
    fn new(version: u64, instructions: &[Instruction]) -> Self {
        let rate = |of: &Instruction| Some((of.service.clone(), of.environment.clone(), of.sample_rate?));
        let mut rates: Vec<_> = instructions.iter().filter_map(rate).collect();
        rates.sort_by_key(|(service, environment, _)| (service != ANY, environment != ANY));
        Self { version, files: instructions.iter().map(File::new).collect(), rates }
    }

    /// The answer to spans. Clients know no wildcards, so what is said of several services or environments is said
    /// of each sender; and of every service that is named, for one client may send for several.
    fn rates_for<'a>(&self, senders: impl Iterator<Item = (&'a str, &'a str)>) -> String {
        let fits = |said: &str, own: &str| said == ANY || said == own;
        let rate = |service: &str, environment: &str| {
            let mut last_first = self.rates.iter().rev();
            let fitting = last_first.find(|(of, within, _)| fits(of, service) && fits(within, environment));
            fitting.map(|(_, _, rate)| *rate)
        };
        let mut rates = serde_json::Map::new();
        let mut tell = |service: &str, environment: &str| {
            if let Some(rate) = rate(service, environment) {
                rates.insert(format!("service:{service},env:{environment}"), json!(rate));
            }
        };
        for (service, environment, _) in &self.rates {
            if service != ANY && environment != ANY {
                tell(service, environment);
            }
        }
        senders.take(MAX_SENDERS).for_each(|(service, environment)| tell(service, environment));
        // What is not said of a service is said of this one.
        rates.insert("service:,env:".to_owned(), json!(rate("", "").unwrap_or(1.0)));
        json!({"rate_by_service": rates}).to_string()
    }

    /// The files for a service in an environment.
    fn files_for<'a>(&'a self, tracer: &'a Tracer) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(|file| {
            let is_service =
                file.service == ANY || file.service == tracer.service || tracer.extra_services.contains(&file.service);
            is_service && (file.environment == ANY || file.environment == tracer.env)
        })
    }
}

impl File {
    fn new(of: &Instruction) -> Self {
        let mut config = serde_json::Map::new();
        let mut set = |name: &str, value: Option<serde_json::Value>| {
            if let Some(value) = value {
                config.insert(name.to_owned(), value);
            }
        };
        set("tracing_sampling_rate", of.sample_rate.map(Into::into));
        set("tracing_sampling_rules", (!of.sampling_rules.is_empty()).then(|| json!(of.sampling_rules)));
        set("tracing_tags", (!of.tags.is_empty()).then(|| json!(of.tags)));
        set("log_injection_enabled", of.log_injection.map(Into::into));
        set("tracing_enabled", of.tracing.map(Into::into));
        let target = json!({"service": of.service, "env": of.environment});
        let raw = json!({"action": "enable", "service_target": target, "lib_config": config}).to_string();
        let id = hex(Sha256::digest(target.to_string()).as_slice());
        Self {
            service: of.service.clone(),
            environment: of.environment.clone(),
            path: format!("datadog/2/APM_TRACING/{}/config", &id[..32]),
            sha256: hex(Sha256::digest(&raw).as_slice()),
            raw,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Poll {
    client: Client,
    cached_target_files: Option<Vec<Cached>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Client {
    state: Option<State>,
    products: Vec<String>,
    client_tracer: Option<Tracer>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct State {
    targets_version: u64,
    config_states: Option<Vec<ConfigState>>,
    has_error: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ConfigState {
    apply_state: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tracer {
    service: String,
    env: String,
    extra_services: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cached {
    path: String,
    hashes: Option<Vec<Hash>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Hash {
    hash: String,
}

/// Answers what a client is to do, or that nothing has changed.
pub(super) async fn take(datadog: Arc<Datadog>, open: OpenRequest, request: Request<Body>) -> Response {
    let decoded = read(&datadog, request, JSON, |bytes, share| {
        if !share.grow(bytes.len().saturating_mul(BYTES_PER_BYTE)) {
            return Err(Refusal::overloaded());
        }
        let poll = serde_json::from_slice::<Poll>(bytes);
        poll.map_err(|error| Refusal::new(RefusalReason::BadJson, format!("not a poll for configuration: {error}")))
    });
    match decoded.await {
        Ok((poll, _)) => {
            open.accepted();
            let state = poll.client.state.as_ref();
            let failed = state.and_then(|state| state.config_states.as_deref()).unwrap_or_default();
            let failed = failed.iter().filter(|config| config.apply_state == APPLY_ERROR).count() as u64;
            let own = u64::from(state.is_some_and(|state| state.has_error));
            add(&datadog.counters.config_errors, failed + own);
            answer_json(answer(&datadog.remote.current(), &poll))
        }
        Err(refusal) => {
            open.refused(refusal.reason);
            refused(&refusal)
        }
    }
}

fn answer(current: &Current, poll: &Poll) -> String {
    const UNCHANGED: &str = "{}";
    let Some(tracer) = &poll.client.client_tracer else { return UNCHANGED.to_owned() };
    if !poll.client.products.iter().any(|product| product == "APM_TRACING") {
        return UNCHANGED.to_owned();
    }
    let known = poll.client.state.as_ref().map_or(0, |state| state.targets_version);
    let files: Vec<&File> = current.files_for(tracer).collect();
    let has_files = poll.client.state.as_ref().and_then(|state| state.config_states.as_ref());
    let has_none = has_files.is_none_or(Vec::is_empty);
    if known == current.version || (files.is_empty() && has_none) {
        return UNCHANGED.to_owned();
    }
    let mut targets = serde_json::Map::new();
    for file in &files {
        let target = json!({
            "custom": {"v": current.version},
            "hashes": {"sha256": file.sha256},
            "length": file.raw.len(),
        });
        targets.insert(file.path.clone(), target);
    }
    let signed = json!({
        "signatures": [],
        "signed": {
            "_type": "targets",
            "spec_version": "1.0.0",
            "version": current.version,
            // Far away: nobody signs, so nothing is gained by an end.
            "expires": "2099-01-01T00:00:00Z",
            "custom": {"opaque_backend_state": BASE64.encode("{}"), "agent_refresh_interval": 5},
            "targets": targets,
        },
    });
    let is_cached = |file: &&File| {
        let cached = poll.cached_target_files.as_deref().unwrap_or_default();
        let same = |cached: &Cached| {
            cached.path == file.path && cached.hashes.iter().flatten().any(|hash| hash.hash == file.sha256)
        };
        cached.iter().any(same)
    };
    let sent: Vec<_> = files
        .iter()
        .filter(|file| !is_cached(file))
        .map(|file| json!({"path": file.path, "raw": BASE64.encode(&file.raw)}))
        .collect();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    json!({
        "roots": [],
        "targets": BASE64.encode(signed.to_string()),
        "target_files": sent,
        "client_configs": paths,
        "config_status": 0,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn instruction(service: &str, environment: &str, rate: f64) -> Instruction {
        Instruction {
            service: service.to_owned(),
            environment: environment.to_owned(),
            sample_rate: Some(rate),
            sampling_rules: Vec::new(),
            tags: vec!["team:web".to_owned()],
            log_injection: Some(true),
            tracing: None,
        }
    }

    fn ask(current: &Current, version: u64, cached: &str) -> serde_json::Value {
        let poll = format!(
            r#"{{"client":{{"state":{{"targets_version":{version},"config_states":[]}},"products":["APM_TRACING"],
            "client_tracer":{{"service":"shop","env":"prod","extra_services":["redis"]}}}},"cached_target_files":{cached}}}"#
        );
        serde_json::from_str(&answer(current, &serde_json::from_str(&poll).unwrap())).unwrap()
    }

    #[test]
    fn a_client_gets_the_files_of_its_service_once() {
        let instructions =
            [instruction("shop", "prod", 0.5), instruction("shop", "test", 0.1), instruction("*", "*", 1.0)];
        let current = Current::new(7, &instructions);
        let told = ask(&current, 0, "null");
        assert_eq!(told["client_configs"].as_array().unwrap().len(), 2);
        let file = &told["target_files"][0];
        let raw = BASE64.decode(file["raw"].as_str().unwrap()).unwrap();
        let targets: serde_json::Value =
            serde_json::from_slice(&BASE64.decode(told["targets"].as_str().unwrap()).unwrap()).unwrap();
        let target = &targets["signed"]["targets"][file["path"].as_str().unwrap()];
        assert_eq!(target["hashes"]["sha256"], hex(Sha256::digest(&raw).as_slice()));
        assert_eq!((&target["length"], &targets["signed"]["version"]), (&json!(raw.len()), &json!(7)));
        let config: serde_json::Value = serde_json::from_slice(&raw).unwrap();
        assert_eq!(config["service_target"], json!({"service": "shop", "env": "prod"}));
        assert_eq!(config["lib_config"]["tracing_sampling_rate"], 0.5);

        assert_eq!(ask(&current, 7, "null"), json!({}), "it has them");
        let hash = target["hashes"]["sha256"].as_str().unwrap();
        let cached =
            format!(r#"[{{"path":{},"length":9,"hashes":[{{"algorithm":"sha256","hash":"{hash}"}}]}}]"#, file["path"]);
        let told = ask(&current, 6, &cached);
        assert_eq!(
            (told["target_files"].as_array().unwrap().len(), told["client_configs"].as_array().unwrap().len()),
            (1, 2)
        );
    }

    #[test]
    fn without_instructions_nothing_changes() {
        assert_eq!(ask(&Current::new(0, &[]), 0, "[]"), json!({}));
        assert_eq!(ask(&Current::new(5, &[instruction("other", "*", 0.5)]), 0, "[]"), json!({}));
    }

    #[test]
    fn rates_are_those_of_services() {
        let told = |current: &Current, senders: &[(&str, &str)]| {
            let rates: serde_json::Value = serde_json::from_str(&current.rates_for(senders.iter().copied())).unwrap();
            rates["rate_by_service"].clone()
        };
        let current = Current::new(1, &[instruction("shop", "prod", 0.25), instruction("*", "prod", 0.5)]);
        assert_eq!(told(&current, &[]), json!({"service:,env:": 1.0, "service:shop,env:prod": 0.25}));
        let all = json!({
            "service:,env:": 1.0, "service:shop,env:prod": 0.25, "service:pay,env:prod": 0.5,
        });
        assert_eq!(told(&current, &[("pay", "prod"), ("shop", "prod"), ("pay", "test")]), all);
        let current = Current::new(
            2,
            &[instruction("*", "*", 0.1), instruction("shop", "*", 0.3), instruction("*", "prod", 0.5)],
        );
        let all = json!({"service:,env:": 0.1, "service:shop,env:prod": 0.3, "service:pay,env:prod": 0.5});
        assert_eq!(told(&current, &[("shop", "prod"), ("pay", "prod")]), all, "the service counts most");
        assert_eq!(told(&Current::new(0, &[]), &[("shop", "prod")]), json!({"service:,env:": 1.0}));
    }

    const POLL: &str = r#"{"client":{"state":{"targets_version":1,"config_states":[{"apply_state":3}],"has_error":true},
        "products":["APM_TRACING"],"client_tracer":{"service":"shop","env":"prod","extra_services":["redis"]}},
        "cached_target_files":[{"path":"p","hashes":[{"hash":"h"}]}]}"#;

    proptest! {
        #[test]
        fn hostile_polls_are_answered_or_refused(
            changes in proptest::collection::vec((any::<Index>(), 0..9_usize, r#"[\[\]{}:,"a-z0-9*-]{0,9}|null|-1|18446744073709551616"#), 0..4),
        ) {
            let current = Current::new(7, &[instruction("*", "*", 0.5), instruction("shop", "prod", 0.1)]);
            let mut poll = POLL.to_owned();
            for (at, removed, added) in changes {
                let at = at.index(poll.len() + 1);
                let end = (at + removed).min(poll.len());
                poll.replace_range(at..end, &added);
            }
            if let Ok(poll) = serde_json::from_str::<Poll>(&poll) {
                let told = answer(&current, &poll);
                prop_assert!(serde_json::from_str::<serde_json::Value>(&told).is_ok(), "{told}");
            }
        }
    }
}
