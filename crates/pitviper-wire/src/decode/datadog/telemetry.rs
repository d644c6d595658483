//! What a client says of itself: the packages it runs with, its configuration, its integrations.
//!
//! Source: Datadog's instrumentation telemetry, version 2, as ddtrace 4.16 sends it: one message, or a batch.

use pitviper_model::{Attributes, Value};
use serde::Deserialize;

use super::RoomError;
use super::Sender;
use super::spans::resource_attributes;
use crate::decode::room::Room;

/// How much larger than its text JSON may be in memory.
const BYTES_PER_BYTE: usize = 32;

/// Parts of the names of settings whose values are nobody's business.
const SECRETS: [&str; 5] = ["key", "token", "secret", "password", "credential"];

/// What a client said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    /// The process, as a resource.
    pub resource: Attributes,
    /// What it runs on, such as `cpython 3.12.4`.
    pub runtime: String,
    /// Packages with their versions.
    pub libraries: Vec<(String, String)>,
    /// Settings that are in force, by name; the last one that was said counts.
    pub configuration: Attributes,
    /// Integrations with their versions.
    pub integrations: Attributes,
}

/// A message is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// It is not JSON, or another document.
    #[error("not a message of Datadog telemetry: {0}")]
    Json(#[from] serde_json::Error),
    /// There is no room for it.
    #[error(transparent)]
    Room(#[from] RoomError),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Message {
    runtime_id: String,
    application: Application,
    host: Host,
    request_type: String,
    payload: Payload,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Application {
    service_name: String,
    service_version: Option<String>,
    env: Option<String>,
    language_name: String,
    language_version: String,
    tracer_version: String,
    runtime_name: Option<String>,
    runtime_version: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Host {
    hostname: String,
}

/// A batch is a list of these, anything else is one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Payload {
    Batch(Vec<Part>),
    One(Box<Content>),
    Other(serde::de::IgnoredAny),
}

impl Default for Payload {
    fn default() -> Self {
        Self::Other(serde::de::IgnoredAny)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Part {
    request_type: String,
    payload: Option<Box<Content>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Content {
    dependencies: Vec<Named>,
    integrations: Vec<Integration>,
    configuration: Vec<Setting>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: String,
    version: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Integration {
    name: String,
    version: Option<String>,
    enabled: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Setting {
    name: String,
    value: serde_json::Value,
}

/// Reads a message. It may take `limit` bytes, each step of which `may_grow` grants.
///
/// # Errors
/// When the bytes are not JSON or not such a message, or take more room than there is.
pub fn telemetry(bytes: &[u8], limit: usize, mut may_grow: impl FnMut(usize) -> bool) -> Result<Said, TelemetryError> {
    let mut room = Room::new(limit, &mut may_grow);
    room.take(bytes.len().saturating_mul(BYTES_PER_BYTE))?;
    let message: Message = serde_json::from_slice(bytes)?;
    let application = message.application;
    let runtime_name = application.runtime_name.unwrap_or_default().to_ascii_lowercase();
    let runtime_version = application.runtime_version.unwrap_or(application.language_version);
    let sender = Sender {
        language: application.language_name,
        language_version: runtime_version.clone(),
        interpreter: runtime_name.clone(),
        tracer_version: application.tracer_version,
        ..Sender::default()
    };
    let mut process = sender.attributes();
    for (name, value) in [("service.instance.id", message.runtime_id), ("host.name", message.host.hostname)] {
        if !value.is_empty() {
            process.set(name, value);
        }
    }
    let (environment, version) = (application.env.unwrap_or_default(), application.service_version.unwrap_or_default());
    let mut said = Said {
        resource: resource_attributes(&process, &application.service_name, &environment, &version),
        runtime: format!("{runtime_name} {runtime_version}").trim().to_owned(),
        ..Said::default()
    };
    match message.payload {
        Payload::Batch(parts) => {
            for part in parts {
                said.add(&part.request_type, *part.payload.unwrap_or_default());
            }
        }
        Payload::One(content) => said.add(&message.request_type, *content),
        Payload::Other(_) => {}
    }
    Ok(said)
}

impl Said {
    fn add(&mut self, request_type: &str, content: Content) {
        if !matches!(
            request_type,
            "app-started" | "app-dependencies-loaded" | "app-integrations-change" | "app-client-configuration-change"
        ) {
            return;
        }
        let named = content.dependencies.into_iter().filter(|named| !named.name.is_empty());
        self.libraries.extend(named.map(|named| (named.name, named.version.unwrap_or_default())));
        for one in content.integrations.into_iter().filter(|one| one.enabled) {
            self.integrations.0.push((one.name, Value::from(one.version.unwrap_or_default())));
        }
        for setting in content.configuration {
            let name = setting.name.to_ascii_lowercase();
            let value = match setting.value {
                serde_json::Value::Null => continue,
                _ if SECRETS.iter().any(|secret| name.contains(secret)) => Value::from("***"),
                serde_json::Value::Bool(flag) => Value::Bool(flag),
                serde_json::Value::String(text) => Value::String(text),
                serde_json::Value::Number(number) => {
                    number.as_i64().map_or_else(|| Value::Double(number.as_f64().unwrap_or_default()), Value::Int)
                }
                other => Value::String(other.to_string()),
            };
            // In the order in which they overrule each other: the last one is in force.
            self.configuration.0.push((setting.name, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<Said, TelemetryError> {
        telemetry(json.as_bytes(), usize::MAX, |_| true)
    }

    const APPLICATION: &str = r#""api_version":"v2","runtime_id":"7f","application":{"service_name":"shop","env":"prod",
        "language_name":"python","language_version":"3.12.4","tracer_version":"4.16.0","runtime_name":"CPython",
        "runtime_version":"3.12.4"},"host":{"hostname":"h"}"#;

    #[test]
    fn one_message_and_a_batch_say_the_same() {
        let content = r#"{"dependencies":[{"name":"flask","version":"3.1.0"},{"name":"own"}]}"#;
        let one = format!(r#"{{{APPLICATION},"request_type":"app-dependencies-loaded","payload":{content}}}"#);
        let batch = format!(
            r#"{{{APPLICATION},"request_type":"message-batch","payload":[{{"request_type":"app-heartbeat","payload":{{}}}},
            {{"request_type":"app-dependencies-loaded","payload":{content}}}]}}"#
        );
        let said = read(&one).unwrap();
        assert_eq!(said, read(&batch).unwrap());
        assert_eq!(said.libraries, [("flask".into(), "3.1.0".into()), ("own".into(), String::new())]);
        assert_eq!(said.runtime, "cpython 3.12.4");
        let resource = pitviper_model::Resource { attributes: said.resource, ..Default::default() };
        assert_eq!((resource.service(), resource.environment(), resource.instance()), ("shop", "prod", "7f"));
    }

    #[test]
    fn settings_and_integrations_are_read_and_secrets_are_not() {
        let json = format!(
            r#"{{{APPLICATION},"request_type":"app-started","payload":{{"configuration":[
            {{"name":"DD_TRACE_ENABLED","value":true,"origin":"default","seq_id":1}},{{"name":"DD_API_KEY","value":"x"}},
            {{"name":"DD_ENV","value":null}},{{"name":"rate","value":0.5}}],
            "integrations":[{{"name":"flask","version":"3","enabled":true}},{{"name":"django","enabled":false}}]}}}}"#
        );
        let said = read(&json).unwrap();
        assert_eq!(said.configuration.get("DD_TRACE_ENABLED"), Some(&Value::Bool(true)));
        assert_eq!(said.configuration.get_str("DD_API_KEY"), Some("***"));
        assert_eq!((said.configuration.len(), said.integrations.len()), (3, 1));
    }

    #[test]
    fn what_says_nothing_of_interest_is_taken() {
        for payload in ["[]", "{}", "null", "7", "[7]", r#"{"series":[{"points":[[1,2]]}]}"#] {
            let json = format!(r#"{{{APPLICATION},"request_type":"generate-metrics","payload":{payload}}}"#);
            assert!(read(&json).unwrap().libraries.is_empty(), "{payload}");
        }
        assert!(read("{").is_err() && read("[").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\\[{\"a-z:,}\\]0-9]{0,60}") {
            let _ = read(&text);
        }
    }
}
