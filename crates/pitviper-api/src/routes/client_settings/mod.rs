//! What agents and Datadog's clients are to do: settings by service and environment, applied while they run.

use std::collections::BTreeMap;
use std::io;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::extract::Body;
use crate::problem::Problem;
use crate::state::Api;

/// Most settings, and most rules and tags of one.
const MAX_SETTINGS: usize = 1_000;
const MAX_RULES: usize = 100;
/// Samples of each thread in a second.
const PROFILING_RATES: std::ops::RangeInclusive<u16> = 1..=1_000;
/// Longest text of a setting, in bytes.
const MAX_TEXT_BYTES: usize = 1_024;

/// Which share of some traces a client keeps. Conditions are globs; one that is missing holds for all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSamplingRule {
    /// Of this service.
    #[serde(default = "any")]
    pub service: String,
    /// With this operation, such as `flask.request`.
    #[serde(default = "any")]
    pub name: String,
    /// With this resource, such as `GET /health`.
    #[serde(default = "any")]
    pub resource: String,
    /// With these tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The share, 0 to 1.
    pub sample_rate: f64,
}

/// What the agents and clients of a service in an environment are to do. What is missing they decide themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSetting {
    /// The service; `*` for all.
    #[serde(default = "any")]
    pub service: String,
    /// The deployment environment; `*` for all.
    #[serde(default = "any")]
    pub env: String,
    /// Which share of their traces to keep, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<f64>,
    /// Rules that come before that, the first that fits counts. Datadog's clients follow them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sampling_rules: Vec<ClientSamplingRule>,
    /// Tags for all spans of Datadog's clients.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Whether records of logging name their trace, with Datadog's clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_injection: Option<bool>,
    /// Whether they trace at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<bool>,
    /// Whether Pitviper's agents profile their process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profiling: Option<bool>,
    /// How often Pitviper's agents sample each thread in a second, 1 to 1000; less where that would take more
    /// than their budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profiling_rate: Option<u16>,
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ClientSettings {
    /// Grows with every change.
    pub version: u64,
    /// The settings.
    pub settings: Vec<ClientSetting>,
}

/// Where settings are kept, and made known to clients.
pub trait KeepsClientSettings: Send + Sync + 'static {
    /// The settings that are in force.
    fn get(&self) -> ClientSettings;

    /// Puts others in their place, and keeps them.
    ///
    /// # Errors
    /// When they cannot be kept; then nothing has changed.
    fn replace(&self, settings: Vec<ClientSetting>) -> io::Result<ClientSettings>;
}

fn any() -> String {
    "*".to_owned()
}

/// What agents and Datadog's clients are told to do.
#[utoipa::path(
    get, path = "/api/v1/clients/settings", tag = "server", operation_id = "getClientSettings",
    responses((status = 200, description = "The settings", body = ClientSettings))
)]
pub(crate) async fn get(State(api): State<Api>) -> Json<ClientSettings> {
    Json(api.shared.config.client_settings.get())
}

/// Tells agents and Datadog's clients what to do. Those that run apply it within seconds, or when they export
/// next; what is left out again they decide themselves again.
#[utoipa::path(
    put, path = "/api/v1/clients/settings", tag = "server", operation_id = "putClientSettings",
    request_body = Vec<ClientSetting>,
    responses(
        (status = 200, description = "The settings that are in force now", body = ClientSettings),
        (status = 400, description = "A setting is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn put(
    State(api): State<Api>,
    Body(settings): Body<Vec<ClientSetting>>,
) -> Result<Json<ClientSettings>, Problem> {
    if let Some(fault) = fault(&settings) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_request", "a setting is not usable").detail(fault));
    }
    let kept = tokio::task::spawn_blocking(move || api.shared.config.client_settings.replace(settings)).await;
    let kept = kept.unwrap_or_else(|ended| Err(io::Error::other(ended)));
    kept.map(Json).map_err(|error| {
        tracing::error!(%error, "settings of clients could not be kept");
        Problem::internal()
    })
}

/// What is wrong with settings.
fn fault(settings: &[ClientSetting]) -> Option<String> {
    if settings.len() > MAX_SETTINGS {
        return Some(format!("there may be {MAX_SETTINGS} settings"));
    }
    for (at, of) in settings.iter().enumerate() {
        let place = format!("settings[{at}]");
        let rates = of.sampling_rules.iter().map(|rule| rule.sample_rate).chain(of.sample_rate);
        if rates.into_iter().any(|rate| !(0.0..=1.0).contains(&rate)) {
            return Some(format!("{place}: a share is 0 to 1"));
        }
        if of.profiling_rate.is_some_and(|rate| !PROFILING_RATES.contains(&rate)) {
            return Some(format!("{place}: a rate of profiling is 1 to 1000"));
        }
        if of.sampling_rules.len() > MAX_RULES || of.tags.len() > MAX_RULES {
            return Some(format!("{place}: there may be {MAX_RULES} rules and {MAX_RULES} tags"));
        }
        let rules = of.sampling_rules.iter().flat_map(|rule| {
            [&rule.service, &rule.name, &rule.resource]
                .into_iter()
                .chain(rule.tags.iter().flat_map(|(key, value)| [key, value]))
        });
        let tags = of.tags.iter().flat_map(|(key, value)| [key, value]);
        let mut texts = [&of.service, &of.env].into_iter().chain(rules).chain(tags);
        if texts.any(|text| text.len() > MAX_TEXT_BYTES || text.is_empty()) {
            return Some(format!("{place}: a text has 1 to {MAX_TEXT_BYTES} bytes; `*` stands for all"));
        }
        if of.tags.iter().any(|(key, value)| key.contains([':', ',']) || value.contains(',')) {
            return Some(format!("{place}: a tag's name has no colon and no comma, its value no comma"));
        }
        let is_same = |other: &ClientSetting| (&other.service, &other.env) == (&of.service, &of.env);
        if settings[..at].iter().any(is_same) {
            return Some(format!("{place}: there is a setting for this service and environment already"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let read = |json: &str| serde_json::from_str::<Vec<ClientSetting>>(json).unwrap();
        assert_eq!(fault(&read(r#"[{}, {"service":"a","sample_rate":0.5,"tags":{"team":"a:b"}}]"#)), None);
        for (json, said) in [
            (r#"[{"sample_rate":1.5}]"#, "0 to 1"),
            (r#"[{"sampling_rules":[{"sample_rate":-1}]}]"#, "0 to 1"),
            (r#"[{"profiling_rate":0}]"#, "1 to 1000"),
            (r#"[{"service":""}]"#, "1 to 1024"),
            (r#"[{"tags":{"a:b":"c"}}]"#, "no colon"),
            (r#"[{}, {"service":"*"}]"#, "already"),
        ] {
            assert!(fault(&read(json)).unwrap().contains(said), "{json}");
        }
        assert!(fault(&vec![read("[{}]")[0].clone(); MAX_SETTINGS + 1]).is_some());
    }
}
