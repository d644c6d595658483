//! Which samples a question is about.

use std::str::FromStr;

use pitviper_model::{SpanId, TraceId};
use pitviper_store::{ProfileQuery, Store};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::QueryError;
use crate::time::TimeText;
use crate::views::Window;

/// The type of samples when the caller does not say.
pub const DEFAULT_TYPE: &str = "cpu";

/// Most spans that can be named.
pub const MAX_SPAN_IDS: usize = 5_000;

/// Most spans of a trace whose samples are looked for one by one.
const MAX_SPANS_OF_TRACE: usize = 20_000;

/// What is sampled in a span may be told at the end of its profile: so much after the range, in nanoseconds,
/// samples of named spans and traces are looked for.
pub(in crate::views) const TOLD_LATER_NS: i64 = 120_000_000_000;

/// Most states that can be left out.
const MAX_EXCLUDED: usize = 10;

/// The label that says what a thread was doing.
const STATE_LABEL: &str = "state";

/// Types whose values are what was there at a moment: they are not added up over time.
pub(super) const SNAPSHOTS: [&str; 2] = ["inuse_space", "inuse_objects"];

/// The label with the span that entered the process.
const ROOT_SPAN_LABEL: &str = "local root span id";

/// Which samples of profiles.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProfileSelection)]
pub struct Selection {
    /// Start: microseconds, ISO 8601 or `now-15m`; an hour ago by default.
    pub from: Option<TimeText>,
    /// End; now by default. Samples of a trace or of spans are looked for until two minutes later, as
    /// profilers tell them at the end of a profile.
    pub to: Option<TimeText>,
    /// What was sampled, such as `cpu`, `wall` or `alloc_space`; `cpu` by default.
    #[serde(rename = "type")]
    pub sample_type: Option<String>,
    /// Only of this service.
    pub service: Option<String>,
    /// Only of this deployment environment.
    pub environment: Option<String>,
    /// Only of this version of the service.
    pub version: Option<String>,
    /// Only of this request, such as `GET /cart`.
    pub endpoint: Option<String>,
    /// Only of threads of this name.
    pub thread: Option<String>,
    /// Only of threads that were doing this, such as `cpu`, `gil` or `network`.
    pub state: Option<String>,
    /// Not of threads that were doing any of these, such as `idle`: at most 10.
    #[serde(default)]
    pub exclude_states: Vec<String>,
    /// Only of exceptions of this type.
    pub exception: Option<String>,
    /// Only of this lock.
    pub lock: Option<String>,
    /// Only of this host.
    pub host: Option<String>,
    /// Only of the process of this `service.instance.id`.
    pub instance: Option<String>,
    /// Only of this trace, 32 hex digits. Samples whose profiler tells spans alone are found by the
    /// trace's spans.
    pub trace_id: Option<String>,
    /// Only of exactly these spans, 16 hex digits each, at most 5000.
    #[serde(default)]
    pub span_ids: Vec<String>,
    /// Only of what ran for the request that this span began in its process, 16 hex digits.
    pub root_span_id: Option<String>,
}

/// Which samples to write to a file.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProfileExportRequest)]
pub struct ExportRequest {
    /// Which samples.
    pub selection: Selection,
}

impl Selection {
    /// What was sampled.
    pub(super) fn kind(&self) -> &str {
        self.sample_type.as_deref().unwrap_or(DEFAULT_TYPE)
    }

    pub(super) fn window(&self, now_us: i64) -> Result<Window, QueryError> {
        Window::new(self.from.as_ref(), self.to.as_ref(), now_us)
    }

    /// The questions that together have what one of [`Selection::queries`] leaves out because of its state.
    pub(super) fn excluded(&self, query: &ProfileQuery) -> Vec<ProfileQuery> {
        let state = |state: &String| {
            let mut labels = query.labels.clone();
            labels.push((STATE_LABEL.to_owned(), state.clone()));
            ProfileQuery { by_stack: false, labels, without_labels: Vec::new(), ..query.clone() }
        };
        self.exclude_states.iter().map(state).collect()
    }

    /// The questions that together have the samples, none of them twice.
    pub(super) async fn queries(&self, store: &dyn Store, window: &Window) -> Result<Vec<ProfileQuery>, QueryError> {
        if self.span_ids.len() > MAX_SPAN_IDS {
            return Err(wrong("span_ids", format!("has more than {MAX_SPAN_IDS} ids")));
        }
        let span_ids: Vec<SpanId> = self.span_ids.iter().map(|text| id("span_ids", text)).collect::<Result<_, _>>()?;
        let root: Option<SpanId> = self.root_span_id.as_deref().map(|text| id("root_span_id", text)).transpose()?;
        let trace_id: Option<TraceId> = self.trace_id.as_deref().map(|text| id("trace_id", text)).transpose()?;
        let mut range = window.range;
        if root.is_some() || trace_id.is_some() || !span_ids.is_empty() {
            range.end_ns = range.end_ns.saturating_add(TOLD_LATER_NS);
        }
        if self.exclude_states.len() > MAX_EXCLUDED {
            return Err(wrong("exclude_states", format!("has more than {MAX_EXCLUDED} states")));
        }
        let labels = [
            (ROOT_SPAN_LABEL, root.map(|id| id.to_string())),
            (STATE_LABEL, self.state.clone()),
            ("exception", self.exception.clone()),
            ("lock", self.lock.clone()),
        ];
        let whole = ProfileQuery {
            service: self.service.clone(),
            environment: self.environment.clone(),
            version: self.version.clone(),
            host: self.host.clone(),
            instance: self.instance.clone(),
            sample_type: Some(self.kind().to_owned()),
            endpoint: self.endpoint.clone(),
            thread: self.thread.clone(),
            labels: labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
            without_labels: self.exclude_states.iter().map(|state| (STATE_LABEL.to_owned(), state.clone())).collect(),
            snapshots: is_snapshot(self.kind()),
            trace_id,
            span_ids,
            ..ProfileQuery::all(range)
        };
        let Some(trace_id) = trace_id else { return Ok(vec![whole]) };
        let mut of_trace: Vec<SpanId> =
            store.trace(trace_id, MAX_SPANS_OF_TRACE).await?.spans.iter().map(|span| span.span_id).collect();
        if !whole.span_ids.is_empty() {
            of_trace.retain(|id| whole.span_ids.contains(id));
        }
        let mut queries = vec![whole];
        if !of_trace.is_empty() {
            let by_span = ProfileQuery { trace_id: Some(TraceId::INVALID), span_ids: of_trace, ..queries[0].clone() };
            queries.push(by_span);
        }
        Ok(queries)
    }
}

/// Whether values of a type are what was there at a moment.
pub(super) fn is_snapshot(kind: &str) -> bool {
    SNAPSHOTS.contains(&kind)
}

fn id<T: FromStr>(parameter: &'static str, text: &str) -> Result<T, QueryError> {
    text.parse().map_err(|_| wrong(parameter, format!("`{text}` is not an id in lower-case hex digits")))
}

pub(super) fn wrong(parameter: &'static str, message: String) -> QueryError {
    QueryError::Parameter { parameter, message }
}
