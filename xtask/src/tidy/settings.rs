//! The rules as data: `tidy.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) arrows: BTreeMap<String, Vec<String>>,
    pub(super) test_arrows: BTreeMap<String, Vec<String>>,
    pub(super) fences: BTreeMap<String, Fence>,
    pub(super) unsafe_code: UnsafeCode,
    pub(super) length: Length,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fence {
    pub(super) only: Vec<String>,
    pub(super) why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnsafeCode {
    pub(super) allowed_in: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Length {
    pub(super) max_lines: usize,
    pub(super) exceptions: BTreeMap<String, String>,
}

impl Settings {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
    }
}
