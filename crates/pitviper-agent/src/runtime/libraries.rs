//! Which distributions are installed, found without importing any.
//!
//! The names of their metadata folders say name and version. Which of them are in use is told by the
//! modules that are loaded. Source: PyPA, "Recording installed projects" and "Binary distribution
//! format".

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use pitviper_model::{Attributes, Scope, Value};
use pitviper_wire::encode::{AttributeList, Body, Scalar};

use super::scope;
use crate::agent::Agent;
use crate::logs::LogRecord;

/// Folders of the import path that are looked at.
const MAX_FOLDERS: usize = 64;
/// Distributions that are reported.
const MAX_DISTRIBUTIONS: usize = 3_000;
/// Distributions in one log record.
const MAX_IN_RECORD: usize = 500;
/// Bytes of a list of files that are read.
const MAX_FILE_LIST_BYTES: u64 = 256 * 1024;
/// The event that reports distributions.
pub(crate) const EVENT: &str = "pitviper.libraries";

/// An installed distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Its name, normalised as PyPI does.
    pub name: String,
    /// Its version, as it says itself.
    pub version: String,
    /// Whether a module of it is loaded.
    pub loaded: bool,
}

/// The distributions in the folders of the import path, by name. Of two with one name the first
/// counts, as for the import. `modules` are the names of the loaded modules' top packages.
#[must_use]
pub fn installed_distributions(folders: &[PathBuf], modules: &HashSet<String>) -> Vec<Distribution> {
    let mut found: HashMap<String, Distribution> = HashMap::new();
    for folder in folders.iter().take(MAX_FOLDERS) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let file_name = entry.file_name();
            let Some((name, version)) = file_name.to_str().and_then(|name| identify(name, &entry.path())) else {
                continue;
            };
            if found.len() >= MAX_DISTRIBUTIONS || found.contains_key(&name) {
                continue;
            }
            let loaded = is_loaded(&name, &entry.path(), modules);
            found.insert(name.clone(), Distribution { name, version, loaded });
        }
    }
    let mut all: Vec<_> = found.into_values().collect();
    all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    all
}

/// Name and version of the distribution a folder or file describes.
fn identify(file_name: &str, path: &Path) -> Option<(String, String)> {
    if let Some(stem) = file_name.strip_suffix(".dist-info") {
        let (name, version) = stem.rsplit_once('-')?;
        return Some((normalised(name), version.to_owned()));
    }
    let stem = file_name.strip_suffix(".egg-info").or_else(|| file_name.strip_suffix(".egg"))?;
    let mut parts = stem.split('-');
    let name = parts.next()?;
    let version = match parts.next() {
        Some(version) if version.starts_with(|first: char| first.is_ascii_digit()) => version.to_owned(),
        // One that is being developed says its version inside.
        _ => metadata_version(&path.join("PKG-INFO"))?,
    };
    Some((normalised(name), version))
}

fn metadata_version(path: &Path) -> Option<String> {
    let lines = BufReader::new(File::open(path).ok()?.take(MAX_FILE_LIST_BYTES)).lines();
    lines.map_while(Result::ok).find_map(|line| line.strip_prefix("Version: ").map(|version| version.trim().to_owned()))
}

/// The name as PyPI compares it: lower case, runs of `-`, `_` and `.` as one `-`.
fn normalised(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.chars() {
        if matches!(character, '-' | '_' | '.') {
            if !out.ends_with('-') {
                out.push('-');
            }
        } else {
            out.push(character.to_ascii_lowercase());
        }
    }
    out
}

fn is_loaded(name: &str, metadata: &Path, modules: &HashSet<String>) -> bool {
    // Most are named for their module; only for the others a file has to be read.
    if modules.contains(&name.replace('-', "_")) {
        return true;
    }
    let read =
        |file: &str| Some(BufReader::new(File::open(metadata.join(file)).ok()?.take(MAX_FILE_LIST_BYTES)).lines());
    if let Some(lines) = read("top_level.txt") {
        return lines.map_while(Result::ok).any(|line| modules.contains(line.trim()));
    }
    let mut last = String::new();
    read("RECORD").into_iter().flatten().map_while(Result::ok).any(|line| {
        let path = line.split(',').next().unwrap_or_default();
        let top = path.split('/').next().unwrap_or_default();
        // A module may be a folder, `six.py` or `_cffi_backend.cpython-312-x86_64-linux-gnu.so`.
        let top = if path.contains('/') { top } else { top.split('.').next().unwrap_or_default() };
        if top == last {
            return false;
        }
        top.clone_into(&mut last);
        modules.contains(top)
    })
}

impl Agent {
    /// Reports the distributions of the import path as a log event, `pitviper.libraries`. Its body is a
    /// list of mappings with `name`, `version` and `loaded`; more than fit in one record go into several.
    pub fn report_libraries(&'static self, folders: &[PathBuf], modules: &HashSet<String>) {
        let scope: Scope = scope();
        let all = installed_distributions(folders, modules);
        for part in all.chunks(MAX_IN_RECORD) {
            let items = part.iter().map(|distribution| {
                let mut map = Attributes::default();
                map.set("name", distribution.name.clone());
                map.set("version", distribution.version.clone());
                map.set("loaded", Value::Bool(distribution.loaded));
                Value::Map(map)
            });
            let body = Value::Array(items.collect());
            let mut attributes = AttributeList::default();
            attributes.set("pitviper.libraries.total", Scalar::Int(all.len() as i64), 1);
            self.log_always(
                &scope,
                &LogRecord { body: Body::Value(&body), event_name: EVENT, severity_number: 9, ..LogRecord::default() },
                &attributes,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_found_by_their_folders() {
        let one = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let make = |folder: &Path, path: &str, text: &str| {
            fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
            fs::write(folder.join(path), text).unwrap();
        };
        make(one.path(), "Flask-3.1.3.dist-info/METADATA", "");
        make(one.path(), "typing_extensions-4.15.0.dist-info/RECORD", "typing_extensions.py,sha256=x,1\n");
        make(one.path(), "PyYAML-6.0.2.dist-info/top_level.txt", "_yaml\nyaml\n");
        make(
            one.path(),
            "python_dateutil-2.9.dist-info/RECORD",
            "../../bin/x,,\ndateutil/__init__.py,,\ndateutil/tz.py,,\n",
        );
        make(one.path(), "old.thing-1.0-py3.11.egg-info", "");
        make(one.path(), "mine.egg-info/PKG-INFO", "Metadata-Version: 2.1\nName: mine\nVersion: 0.1.dev0\n");
        make(one.path(), "not-a-distribution/x", "");
        make(other.path(), "flask-1.0.dist-info/METADATA", "");
        let modules = ["flask", "yaml", "dateutil"].map(str::to_owned).into();
        let folders = [one.path().to_path_buf(), other.path().to_path_buf(), PathBuf::from("/nowhere")];
        let found: Vec<_> = installed_distributions(&folders, &modules)
            .into_iter()
            .map(|distribution| (distribution.name, distribution.version, distribution.loaded))
            .collect();
        let expected = [
            ("flask", "3.1.3", true),
            ("mine", "0.1.dev0", false),
            ("old-thing", "1.0", false),
            ("python-dateutil", "2.9", true),
            ("pyyaml", "6.0.2", true),
            ("typing-extensions", "4.15.0", false),
        ];
        assert_eq!(found, expected.map(|(name, version, loaded)| (name.to_owned(), version.to_owned(), loaded)));
    }
}
