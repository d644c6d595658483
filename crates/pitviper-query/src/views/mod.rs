//! The views: one folder each, with its request, its answer and the function between them.

pub mod aggregate;
pub mod complete;
pub mod facets;
pub mod heatmap;
pub mod instances;
pub mod logs;
pub mod metrics;
pub mod operations;
pub mod parse;
pub mod profiles;
pub mod search;
pub mod series;
pub mod services;
pub mod spans;
pub mod sql;
pub mod trace;

mod facts;
mod json;
mod red;
mod sampled;
mod slowest;
mod window;

pub use json::{JsonAttributes, JsonValue, Text};
pub use window::Window;

use serde::Serialize;
use utoipa::ToSchema;

/// How an answer came about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Meta {
    /// Start of the time range that was looked at, in microseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// End of that range, exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// Width of the time steps, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_ms: Option<i64>,
    /// Whether all matching data was counted; false when something was left out or estimated.
    pub exact: bool,
    /// Of a search: whether the page ended because it is full or because there is no more. When
    /// false, a bound on time or on the number of traces was reached, and `next` goes on from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// Of a search: the bound that ended it, or because of which something was looked at in part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<search::Bound>,
    /// Of a search by start time that is not complete: up to where it came, in microseconds since the
    /// epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scanned_until_us: Option<i64>,
    /// What figures were made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<aggregate::Source>,
    /// How many rows of that, or of spans for a search, were looked at, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scanned: Option<u64>,
    /// Of a statement: the most memory that was held at once to sort, group and join, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// How far quantiles may be off, as a share of them; missing when they are exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_error: Option<f64>,
    /// How long the answer took to make, in milliseconds.
    pub elapsed_ms: u64,
    /// Cursor of the next page; null on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next: Option<Option<String>>,
    /// Remarks for the user.
    pub warnings: Vec<String>,
}

/// An answer: the data, and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Answer<T> {
    /// What was asked for.
    pub data: T,
    /// How it came about.
    pub meta: Meta,
}

impl Meta {
    /// Of an answer that counted everything.
    #[must_use]
    pub fn exact() -> Self {
        Self { exact: true, ..Self::default() }
    }

    /// Of an answer over this window.
    #[must_use]
    pub fn over(window: &Window) -> Self {
        Self {
            from: Some(window.range.start_ns / 1_000),
            to: Some(window.range.end_ns / 1_000),
            step_ms: window.step_ns.map(|step| step / 1_000_000),
            ..Self::exact()
        }
    }
}
