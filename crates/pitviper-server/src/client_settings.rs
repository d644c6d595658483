//! What Datadog's clients are told: kept in a file of the data directory, handed to the receiver.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use pitviper_api::client_settings::{ClientSetting, ClientSettings, KeepsClientSettings};
use pitviper_ingest::receivers::datadog::{Instruction, Remote, SamplingRule, TagCondition};

/// The file's name in the data directory.
const FILE: &str = "client-settings.json";

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
    use super::*;

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
}
