//! Ids of rows that have none of their own: a hash of all that the row says.
//!
//! Rows of one moment are put in order by it, so that pages continue where the one before ended, and
//! a row that a sender repeats is recognised.

use std::fmt::Write as _;

use pitviper_model::{Attributes, Resource};
use twox_hash::XxHash64;

use super::columns::resource_json;
use super::json::write_map;

/// Hashes rows one after the other.
#[derive(Debug, Default)]
pub(super) struct RowHasher {
    text: String,
    resource: Option<(Resource, u64)>,
}

impl RowHasher {
    /// Begins a row.
    pub(super) fn begin(&mut self, resource: &Resource, time_unix_nano: u64) -> &mut Self {
        let known = self.resource.as_ref().filter(|(last, _)| last == resource).map(|(_, hash)| *hash);
        let hash = known.unwrap_or_else(|| {
            let hash = XxHash64::oneshot(0, resource_json(resource).as_bytes());
            self.resource = Some((resource.clone(), hash));
            hash
        });
        self.text.clear();
        let _ = write!(self.text, "{hash:x} {time_unix_nano:x}");
        self
    }

    /// Adds what can be written, with a mark behind it.
    pub(super) fn add(&mut self, part: impl std::fmt::Display) -> &mut Self {
        let before = self.text.len();
        let _ = write!(self.text, "{part}");
        let length = self.text.len() - before;
        let _ = write!(self.text, "#{length:x};");
        self
    }

    /// Adds attributes, in their order.
    pub(super) fn attributes(&mut self, attributes: &Attributes) -> &mut Self {
        write_map(attributes, &mut self.text);
        self
    }

    /// The row's id.
    pub(super) fn finish(&self) -> u64 {
        XxHash64::oneshot(0, self.text.as_bytes())
    }
}
