//! Statistics of spans that clients count themselves (version 0.6).
//!
//! A client that counts its spans may leave out those it does not keep, so rates and percentiles come from
//! here, not from the spans it does send. What is counted is named as the spans are.

use std::mem::size_of;

use pitviper_model::{ExpHistogram, SpanKind};

use super::describe::{describe, messaging_of, system_of};
use super::msgpack::{MsgpackError, Reader};
use super::names;
use super::sketch;
use super::{RoomError, TracesError};
use crate::decode::room::Room;

/// Tags of the other end of a call, which clients are asked to count by, and what they are here. The most
/// telling first, as for spans.
pub const PEER_TAGS: [&str; 8] = [
    "_dd.base_service",
    "peer.service",
    "db.system",
    "messaging.system",
    "rpc.service",
    "server.address",
    "out.host",
    "network.destination.name",
];

/// Spans of one kind, counted over some time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CountedSpans {
    /// When the time began, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// The service.
    pub service: String,
    /// The deployment environment; empty when not said.
    pub environment: String,
    /// The service's version; empty when not said.
    pub version: String,
    /// The spans' name.
    pub name: String,
    /// The spans' kind.
    pub kind: SpanKind,
    /// Whether the spans have no parent.
    pub is_root: bool,
    /// What they talk to; empty when not known.
    pub peer: String,
    /// How many spans.
    pub hits: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Sum of their durations, in nanoseconds.
    pub duration_sum_ns: u64,
    /// The shortest, about, in nanoseconds.
    pub duration_min_ns: u64,
    /// The longest, about, in nanoseconds.
    pub duration_max_ns: u64,
    /// Distribution of the durations, in nanoseconds.
    pub durations: ExpHistogram,
}

/// What a payload of statistics holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stats {
    /// What was counted.
    pub counted: Vec<CountedSpans>,
    /// Groups whose sketches are damaged, which are left out.
    pub damaged: usize,
}

#[derive(Default)]
struct Group {
    service: String,
    name: String,
    resource: String,
    span_type: String,
    kind: String,
    source: String,
    peer_tags: Vec<String>,
    is_root: bool,
    hits: u64,
    errors: u64,
    duration: u64,
    sketches: [Vec<u8>; 2],
}

/// Reads a payload of statistics. It may take `limit` bytes, each step of which `may_grow` grants.
///
/// # Errors
/// When the bytes are not that payload, or take more room than there is.
pub fn stats(bytes: &[u8], limit: usize, mut may_grow: impl FnMut(usize) -> bool) -> Result<Stats, TracesError> {
    let mut room = Room::new(limit, &mut may_grow);
    let (mut environment, mut version) = (String::new(), String::new());
    let mut groups: Vec<(u64, Group)> = Vec::new();
    let mut reader = Reader::new(bytes);
    // Texts are copied; sketches grow.
    room.take(bytes.len().saturating_mul(2))?;
    for _ in 0..reader.map()? {
        match &*reader.text()? {
            "Env" => environment = reader.text()?.into_owned(),
            "Version" => version = reader.text()?.into_owned(),
            "Stats" => {
                for _ in 0..reader.array()? {
                    read_bucket(&mut reader, &mut groups, &mut room)?;
                }
            }
            _ => reader.skip()?,
        }
    }
    let mut stats = Stats::default();
    for (start, group) in groups {
        match group.counted(start, &environment, &version, &mut room)? {
            Some(counted) => stats.counted.push(counted),
            None => stats.damaged += 1,
        }
    }
    Ok(stats)
}

fn read_bucket(
    reader: &mut Reader<'_>,
    groups: &mut Vec<(u64, Group)>,
    room: &mut Room<'_>,
) -> Result<(), TracesError> {
    let first = groups.len();
    let mut start = 0;
    for _ in 0..reader.map()? {
        match &*reader.text()? {
            "Start" => start = reader.number()?.as_u64(),
            "Stats" => {
                for _ in 0..reader.array()? {
                    room.take(2 * size_of::<(u64, Group)>() + size_of::<CountedSpans>())?;
                    let group = read_group(reader)?;
                    groups.push((0, group));
                }
            }
            _ => reader.skip()?,
        }
    }
    groups[first..].iter_mut().for_each(|(of, _)| *of = start);
    Ok(())
}

fn read_group(reader: &mut Reader<'_>) -> Result<Group, MsgpackError> {
    let mut group = Group::default();
    for _ in 0..reader.map()? {
        match &*reader.text()? {
            "Service" => group.service = reader.text()?.into_owned(),
            "Name" => group.name = reader.text()?.into_owned(),
            "Resource" => group.resource = reader.text()?.into_owned(),
            "Type" => group.span_type = reader.text()?.into_owned(),
            "SpanKind" => group.kind = reader.text()?.into_owned(),
            "srv_src" => group.source = reader.text()?.into_owned(),
            "Hits" => group.hits = reader.number()?.as_u64(),
            "Errors" => group.errors = reader.number()?.as_u64(),
            "Duration" => group.duration = reader.number()?.as_u64(),
            "IsTraceRoot" => group.is_root = reader.number()?.as_u64() == 1,
            "OkSummary" => group.sketches[0] = reader.bytes()?.to_vec(),
            "ErrorSummary" => group.sketches[1] = reader.bytes()?.to_vec(),
            "PeerTags" => {
                for _ in 0..reader.array()? {
                    group.peer_tags.push(reader.text()?.into_owned());
                }
            }
            _ => reader.skip()?,
        }
    }
    Ok(group)
}

impl Group {
    fn peer_tag(&self, name: &str) -> Option<&str> {
        let tagged = |tag: &'_ String| tag.split_once(':').is_some_and(|(key, value)| key == name && !value.is_empty());
        self.peer_tags.iter().find(|tag| tagged(tag)).and_then(|tag| tag.split_once(':')).map(|(_, value)| value)
    }

    fn counted(
        &self,
        start_unix_nano: u64,
        environment: &str,
        version: &str,
        room: &mut Room<'_>,
    ) -> Result<Option<CountedSpans>, RoomError> {
        // A bin of a few bytes is some sixty in a map, and then a bucket.
        room.take(self.sketches.iter().map(Vec::len).sum::<usize>().saturating_mul(16))?;
        let [Some(mut ok), Some(failed)] = [&self.sketches[0], &self.sketches[1]].map(|bytes| sketch::read(bytes))
        else {
            return Ok(None);
        };
        let kind = names::kind(&self.kind, &self.span_type, true);
        let calls_out = matches!(kind, SpanKind::Client | SpanKind::Producer);
        let peer = PEER_TAGS[1..].iter().find_map(|name| self.peer_tag(name).map(|value| (*name, value)));
        let peer = match peer {
            Some(("db.system", value)) => names::system(value),
            Some((_, value)) => value,
            None => system_of(&self.name, &self.span_type).or_else(|| messaging_of(&self.name)).unwrap_or_default(),
        };
        let base = self.peer_tag("_dd.base_service").filter(|_| self.source != "m");
        let mins = [&ok, &failed].map(|of| (of.durations.count() > 0).then_some(of.min));
        ok.durations.merge(&failed.durations);
        let (mut min, mut max) = (mins.into_iter().flatten().min().unwrap_or_default(), ok.max.max(failed.max));
        let mut durations = ok.durations;
        if self.hits == 1 {
            // Of one span the sum is exact.
            (min, max) = (self.duration, self.duration);
            durations = ExpHistogram::default();
            durations.record(self.duration);
        }
        Ok(Some(CountedSpans {
            start_unix_nano,
            service: base.unwrap_or(&self.service).to_owned(),
            environment: environment.to_owned(),
            version: version.to_owned(),
            name: describe(&self.name, &self.resource, &self.span_type, kind).name.into_owned(),
            kind,
            is_root: self.is_root,
            peer: if calls_out { peer.to_owned() } else { String::new() },
            hits: self.hits,
            errors: self.errors.min(self.hits),
            duration_sum_ns: self.duration,
            duration_min_ns: min,
            duration_max_ns: max,
            durations,
        }))
    }
}
