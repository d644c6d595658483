//! Surveys: which fields spans have, and which values.

use std::time::Duration;

use crate::filter::Filter;
use crate::questions::aggregate::GroupField;
use crate::store::TimeRange;

/// A question for the fields of the newest matching spans.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// When the spans started.
    pub range: TimeRange,
    /// Which spans match.
    pub filter: Filter,
    /// Most spans that are looked at. Where the newest ones lie far apart, those that are looked at are
    /// but among the newest, and they may be fewer.
    pub limit: usize,
    /// How long spans are looked for once one was found; what is under way then is finished.
    pub time: Duration,
    /// How long spans are looked for in any case.
    pub time_for_nothing: Duration,
    /// Most pages whose attributes are read, which is what a survey takes its time for; fewer pages are a
    /// poorer sample.
    pub max_pages: usize,
    /// Most attributes that are counted; of others that are met later nothing is.
    pub max_attributes: usize,
    /// Most values that are told of a field.
    pub max_values: usize,
}

/// A field of spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldCounts {
    /// Which. Every span has a service and a name; another field of its own counts where it is not
    /// empty. An attribute is the span's, or its resource's when the span has none of that name.
    pub field: GroupField,
    /// Of an attribute, whether any span has it itself.
    pub on_span: bool,
    /// How many spans have it.
    pub count: u64,
    /// On how many of them it is a number.
    pub numbers: u64,
    /// On how many of them it is true or false.
    pub flags: u64,
    /// How many different values it has.
    pub distinct: usize,
    /// Values as text and how many spans have them, the most frequent first, then by text.
    pub values: Vec<(String, u64)>,
}

/// The answer to a [`Survey`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surveyed {
    /// How many spans were looked at.
    pub spans: usize,
    /// Whether these are all that match.
    pub complete: bool,
    /// Fields that any of them has: those of every span first, attributes by name.
    pub fields: Vec<FieldCounts>,
    /// Whether attributes were left out because there are too many.
    pub left_out: bool,
}

/// The attributes of all spans that lie in segments with spans of a range, as they were counted when they
/// were flushed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownAttributes {
    /// How many spans were counted.
    pub spans: u64,
    /// The attributes by name. Of one with many values only the most frequent are listed, roughly: what is
    /// frequent in none of the segments may be missing. [`FieldCounts::distinct`] is then a lower bound.
    pub fields: Vec<FieldCounts>,
    /// Whether attributes were left out because there are too many.
    pub left_out: bool,
}
