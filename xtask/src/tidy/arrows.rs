//! Arrows between rooms, and fences around dependencies that only some rooms may see.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::settings::Settings;
use super::{Complaint, complain};

/// A crate, and what it depends on directly.
struct Room {
    name: String,
    /// Dependency name, and whether it is for tests only.
    dependencies: Vec<(String, bool)>,
}

/// The part of `cargo metadata` that is needed. The crate `cargo_metadata` would do, but it turns on
/// a feature of serde_json and with it a second build of the storage engine.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

pub(super) fn check(root: &Path, settings: &Settings) -> Result<Vec<Complaint>> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata is not as expected")?;
    let rooms: Vec<Room> = metadata
        .packages
        .into_iter()
        .map(|package| Room {
            name: package.name,
            dependencies: package
                .dependencies
                .into_iter()
                .map(|dependency| (dependency.name, dependency.kind.as_deref() == Some("dev")))
                .collect(),
        })
        .collect();
    Ok(judge(&rooms, settings))
}

fn judge(rooms: &[Room], settings: &Settings) -> Vec<Complaint> {
    let names: BTreeSet<&str> = rooms.iter().map(|room| room.name.as_str()).collect();
    let mut complaints = Vec::new();
    for room in rooms {
        let place = format!("crate {}", room.name);
        let Some(allowed) = settings.arrows.get(&room.name) else {
            complaints.push(complain(place, "is not in the arrow table of tidy.toml"));
            continue;
        };
        for (dependency, for_tests) in &room.dependencies {
            if names.contains(dependency.as_str()) {
                let fine =
                    allowed.contains(dependency) || (*for_tests && allowed_in_tests(settings, &room.name, dependency));
                if !fine {
                    complaints
                        .push(complain(&place, format!("must not depend on {dependency} (arrow table in tidy.toml)")));
                }
            } else if let Some((name, fence)) = settings.fences.get_key_value(dependency)
                && !for_tests
                && !fence.only.contains(&room.name)
            {
                complaints.push(complain(&place, format!("must not depend on {name}: {}", fence.why)));
            }
        }
    }
    complaints
}

fn allowed_in_tests(settings: &Settings, room: &str, dependency: &str) -> bool {
    ["everywhere", room]
        .iter()
        .filter_map(|key| settings.test_arrows.get(*key))
        .any(|allowed| allowed.iter().any(|name| name == dependency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        toml::from_str(
            r#"
            [arrows]
            model = []
            store = ["model"]
            [test_arrows]
            everywhere = ["model"]
            [fences.heavy]
            only = ["store"]
            why = "it is slow to build"
            [unsafe_code]
            allowed_in = []
            [length]
            max_lines = 1
            [length.exceptions]
            "#,
        )
        .unwrap()
    }

    fn room(name: &str, dependencies: &[(&str, bool)]) -> Room {
        Room { name: name.to_owned(), dependencies: dependencies.iter().map(|(d, t)| ((*d).to_owned(), *t)).collect() }
    }

    #[test]
    fn allows_what_the_table_lists() {
        let rooms = [room("model", &[]), room("store", &[("model", false), ("heavy", false)])];
        assert_eq!(judge(&rooms, &settings()), []);
    }

    #[test]
    fn names_each_wrong_arrow() {
        let rooms = [
            room("model", &[("store", false), ("heavy", false), ("store", true)]),
            room("store", &[]),
            room("attic", &[]),
        ];
        let complaints: Vec<String> = judge(&rooms, &settings()).iter().map(ToString::to_string).collect();
        assert_eq!(
            complaints,
            [
                "crate model: must not depend on store (arrow table in tidy.toml)",
                "crate model: must not depend on heavy: it is slow to build",
                "crate model: must not depend on store (arrow table in tidy.toml)",
                "crate attic: is not in the arrow table of tidy.toml",
            ]
        );
    }
}
