//! What agents and Datadog's clients are told: kept in a file of the data directory, handed to the receivers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::extract::{Query, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Uri};
use pitviper_api::client_settings::{ClientSetting, ClientSettings, KeepsClientSettings};
use pitviper_ingest::receivers::datadog::{Instruction, Remote, SamplingRule, TagCondition};
use serde::Serialize;

/// The file's name in the data directory.
const FILE: &str = "client-settings.json";
/// Stands for every service, and for every environment.
const ANY: &str = "*";
/// The header with which an agent says whose settings it asks for, as the parameters of a query.
const ASKS: HeaderName = HeaderName::from_static("pitviper-settings-for");
/// The header that tells them, as JSON.
const TELLS: HeaderName = HeaderName::from_static("pitviper-settings");

/// Settings, in memory and in their file.
pub(crate) struct KeptSettings {
    path: PathBuf,
    current: Mutex<ClientSettings>,
    remote: Arc<Remote>,
}

impl KeptSettings {
    /// Reads the settings of a data directory.
    pub(crate) fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(FILE);
        let current: ClientSettings = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{}: not settings of clients; mend it or take it away", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => ClientSettings::default(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let remote = Remote::new(current.version, &instructions(&current.settings));
        Ok(Self { path, current: Mutex::new(current), remote })
    }

    /// What clients are told.
    pub(crate) fn remote(&self) -> Arc<Remote> {
        Arc::clone(&self.remote)
    }

    /// Writes the file in one step: a crash leaves the old settings or the new ones.
    fn write(&self, settings: &ClientSettings) -> io::Result<()> {
        let beside = self.path.with_extension("json.new");
        let mut file = File::create(&beside)?;
        serde_json::to_writer_pretty(&mut file, settings)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl KeepsClientSettings for KeptSettings {
    fn get(&self) -> ClientSettings {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, settings: Vec<ClientSetting>) -> io::Result<ClientSettings> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.settings != settings {
            let changed = ClientSettings { version: current.version + 1, settings };
            self.write(&changed)?;
            self.remote.replace(changed.version, &instructions(&changed.settings));
            *current = changed;
        }
        Ok(current.clone())
    }
}

/// What the agents of a service in an environment are told.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Told {
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracing: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profiling: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profiling_rate: Option<u16>,
}

impl Told {
    /// What all settings together say that fit: what is said of the service counts more than what is said of
    /// the environment, and that more than what is said of all.
    fn of(settings: &ClientSettings, service: &str, environment: &str) -> Self {
        let fits = |said: &str, own: &str| said == ANY || said == own;
        let mut fitting: Vec<_> =
            settings.settings.iter().filter(|of| fits(&of.service, service) && fits(&of.env, environment)).collect();
        fitting.sort_by_key(|of| (of.service != ANY, of.env != ANY));
        let mut told = Self { version: settings.version, ..Self::default() };
        for of in fitting {
            told.sample_rate = of.sample_rate.or(told.sample_rate);
            told.tracing = of.tracing.or(told.tracing);
            told.profiling = of.profiling.or(told.profiling);
            told.profiling_rate = of.profiling_rate.or(told.profiling_rate);
        }
        told
    }
}

/// Answers agents that send something with what they are to do, in a header beside the answer itself.
pub(crate) async fn tell(State(kept): State<Arc<KeptSettings>>, request: Request, next: Next) -> Response {
    let asked = request.headers().get(ASKS).and_then(|value| value.to_str().ok()).and_then(asker);
    let mut response = next.run(request).await;
    if let Some((service, environment)) = asked {
        let told = {
            let current = kept.current.lock().unwrap_or_else(PoisonError::into_inner);
            Told::of(&current, &service, &environment)
        };
        // Numbers and truth values alone are fit for a header.
        if let Some(told) = serde_json::to_string(&told).ok().and_then(|told| HeaderValue::try_from(told).ok()) {
            response.headers_mut().insert(TELLS, told);
        }
    }
    response
}

/// The service and the environment that the parameters of a query name.
fn asker(query: &str) -> Option<(String, String)> {
    let uri = Uri::builder().path_and_query(format!("/?{query}")).build().ok()?;
    let Query(mut pairs) = Query::<BTreeMap<String, String>>::try_from_uri(&uri).ok()?;
    let service = pairs.remove("service.name")?;
    Some((service, pairs.remove("deployment.environment.name").unwrap_or_default()))
}

fn instructions(settings: &[ClientSetting]) -> Vec<Instruction> {
    let instruction = |of: &ClientSetting| Instruction {
        service: of.service.clone(),
        environment: of.env.clone(),
        sample_rate: of.sample_rate,
        sampling_rules: of
            .sampling_rules
            .iter()
            .map(|rule| SamplingRule {
                service: rule.service.clone(),
                name: rule.name.clone(),
                resource: rule.resource.clone(),
                tags: rule
                    .tags
                    .iter()
                    .map(|(key, value)| TagCondition { key: key.clone(), value_glob: value.clone() })
                    .collect(),
                sample_rate: rule.sample_rate,
                provenance: "customer",
            })
            .collect(),
        tags: of.tags.iter().map(|(key, value)| format!("{key}:{value}")).collect(),
        log_injection: of.log_injection,
        tracing: of.tracing,
    };
    settings.iter().map(instruction).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_said_of_a_service_counts_most() {
        let settings = serde_json::from_str(
            r#"{"version":3,"settings":[
                {"service":"shop","env":"prod","sample_rate":0.5},
                {"service":"shop","profiling":true,"sample_rate":0.1},
                {"env":"prod","profiling":false,"profiling_rate":20,"tracing":true},
                {"sample_rate":0}
            ]}"#,
        )
        .unwrap();
        let told = |query: &str| {
            let (service, environment) = asker(query).unwrap();
            serde_json::to_string(&Told::of(&settings, &service, &environment)).unwrap()
        };
        assert_eq!(
            told("service.name=shop&deployment.environment.name=prod"),
            r#"{"version":3,"sample_rate":0.5,"tracing":true,"profiling":true,"profiling_rate":20}"#
        );
        assert_eq!(told("service.name=shop"), r#"{"version":3,"sample_rate":0.1,"profiling":true}"#);
        assert_eq!(told("service.name=b%C3%BCro&x=1"), r#"{"version":3,"sample_rate":0.0}"#);
        assert_eq!(asker("x=1"), None);
        assert_eq!(asker("a b"), None);
    }

    #[test]
    fn settings_outlive_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptSettings::open(folder.path()).unwrap();
        assert_eq!(kept.get(), ClientSettings::default());
        let settings: Vec<ClientSetting> =
            serde_json::from_str(r#"[{"service":"shop","sample_rate":0.5,"sampling_rules":[{"sample_rate":0}]}]"#)
                .unwrap();
        assert_eq!(kept.replace(settings.clone()).unwrap().version, 1);
        assert_eq!(kept.replace(settings.clone()).unwrap().version, 1, "nothing has changed");
        let again = KeptSettings::open(folder.path()).unwrap();
        assert_eq!(again.get(), ClientSettings { version: 1, settings });
        fs::write(folder.path().join(FILE), "{").unwrap();
        let error = KeptSettings::open(folder.path()).err().unwrap();
        assert!(format!("{error:#}").contains("mend it"), "{error:#}");
    }
    proptest! {
        #[test]
        fn hostile_askers_are_understood_or_not(query in "(service.name|deployment.environment.name|[a-z&=%]{0,3})=([a-z0-9+&=]|%[0-9A-Fa-f]{0,2}|[ -~]|\\PC){0,20}") {
            if let Some((service, environment)) = asker(&query) {
                let told = Told::of(&ClientSettings::default(), &service, &environment);
                prop_assert!(HeaderValue::try_from(serde_json::to_string(&told).unwrap()).is_ok());
            }
        }
    }
}
