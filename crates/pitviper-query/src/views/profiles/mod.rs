//! Profiles: samples of stacks, put together to trees, functions and courses.
//!
//! A [`Selection`] says which samples. Their stacks are read once and added up (`samples`); what is drawn
//! of them is worked out without the store (`tree`, `functions`).

mod functions;
mod lines;
mod longest;
mod merge;
mod samples;
mod selection;
mod series;
mod spans;
mod tree;
mod values;

pub use functions::{FunctionData, FunctionsData, FunctionsRequest, functions};
pub use lines::{LineData, LinesData, LinesRequest, lines};
pub use longest::{LongPlace, LongestData, LongestRequest, longest};
pub use merge::{MAX_NODES, MergeRequest, MergedFrame, MergedProfile, merge};
pub use samples::{ProfileExport, export};
pub(super) use selection::TOLD_LATER_NS;
pub use selection::{DEFAULT_TYPE, ExportRequest, MAX_SPAN_IDS, Selection};
pub use series::{MAX_SERIES, ProfileSeries, SeriesData, SeriesRequest, Split, series};
pub use spans::{FunctionSpan, FunctionSpans, SpansRequest, spans};
pub use values::{ProfileType, ProfileValue, ProfileValues, ValuesRequest, values};
