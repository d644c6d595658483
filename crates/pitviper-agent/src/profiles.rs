//! Profiles on their way out. Whoever samples is not known here: it is a [`ProfileSource`] that the exporter
//! asks from time to time, and before the end.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use pitviper_model::{Attributes, Value};

use crate::agent::Agent;
use crate::config::{Config, Profiles};
use crate::queue::{Batch, Signal};

/// Longest query that tells whose a profile is, in bytes; receivers bound the addresses they read.
const MAX_QUERY_BYTES: usize = 4 * 1024;
/// The attributes that come first, where not all have room.
const FIRST: [&str; 4] = ["service.", "deployment.", "host.", "process.pid"];

/// What profiles are taken from.
pub trait ProfileSource: Send + Sync {
    /// What was sampled since the last time, as pprof that is not compressed; `None` when there is nothing.
    /// Called by the exporter's thread, which never has the interpreter.
    fn take(&self) -> Option<Vec<u8>>;
}

/// Where profiles come from.
#[derive(Default)]
pub(crate) struct ProfileUpload {
    source: OnceLock<&'static dyn ProfileSource>,
    enabled: AtomicBool,
}

impl std::fmt::Debug for ProfileUpload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ProfileUpload").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

impl Agent {
    /// Takes new settings of profiles. While they are enabled and there is a source, an exporter runs in this
    /// process; call it again in a forked child that samples.
    pub fn configure_profiles(&'static self, profiles: Profiles) {
        let enabled = profiles.enabled;
        self.profiles.enabled.store(enabled, Ordering::Relaxed);
        self.with_config(|current| *current = Arc::new(Config { profiles, ..Config::clone(current) }));
        self.queue.follow_settings();
        if enabled && self.profiles.source.get().is_some() {
            self.need_exporter();
        }
    }

    /// Says what profiles are taken from. The first call counts.
    pub fn set_profile_source(&self, source: &'static dyn ProfileSource) {
        let _ = self.profiles.source.set(source);
    }

    /// Whether there may be something to take before all is sent.
    pub(crate) fn has_profile(&self) -> bool {
        self.profiles.enabled.load(Ordering::Relaxed) && self.profiles.source.get().is_some()
    }

    /// Takes what was sampled since the last time, and queues it; a flush has it sent.
    pub fn take_profile(&self) {
        let Some(profile) = self.profiles.source.get().and_then(|source| source.take()) else { return };
        let batch = Batch { items: 1, bytes: profile.len(), scopes: vec![profile] };
        if !self.queue.offer_batch(Signal::Profiles, batch) {
            self.counters.of(Signal::Profiles).queue_full.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whose a profile is, as the query of the address it is posted to.
    pub(crate) fn profile_query(&self) -> String {
        let mut attributes = self.resource(None, None).attributes;
        for (key, value) in &self.config().profiles.attributes.0 {
            attributes.set(key, value.clone());
        }
        query(&attributes)
    }
}

/// Attributes as the parameters of a query, but for lists, maps and bytes and what has no room.
pub(crate) fn query(attributes: &Attributes) -> String {
    let mut out = String::new();
    let is_first = |key: &str| FIRST.iter().any(|prefix| key.starts_with(prefix));
    let (first, rest): (Vec<_>, Vec<_>) = attributes.iter().partition(|(key, _)| is_first(key));
    for (key, value) in first.into_iter().chain(rest) {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(flag) => flag.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Double(number) => number.to_string(),
            Value::Bytes(_) | Value::Array(_) | Value::Map(_) => continue,
        };
        let before = out.len();
        if before > 0 {
            out.push('&');
        }
        percent_encode(key, &mut out);
        out.push('=');
        percent_encode(&text, &mut out);
        if out.len() > MAX_QUERY_BYTES {
            out.truncate(before);
        }
    }
    out
}

/// Appends a text so that it means itself within a query.
fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_whose_a_profile_is() {
        let mut attributes = Attributes::default();
        attributes.set("team", "a&b=c ä");
        attributes.set("process.command_args", Value::Array(vec![]));
        attributes.set("service.name", "shop");
        attributes.set("process.pid", 12_i64);
        assert_eq!(query(&attributes), "service.name=shop&process.pid=12&team=a%26b%3Dc%20%C3%A4");
    }

    #[test]
    fn what_has_no_room_is_left_out_and_the_service_is_not() {
        let mut attributes = Attributes::default();
        attributes.set("aaa", "x".repeat(MAX_QUERY_BYTES));
        attributes.set("service.name", "shop");
        attributes.set("zone", "b");
        assert_eq!(query(&attributes), "service.name=shop&zone=b");
    }
}
