//! The services of a trace: name, colour, kind, share.

use std::sync::Arc;

use pitviper_model::SpanKind;
use pitviper_store::TraceSpan;
use rustc_hash::FxHashMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Forest, Strings};
use crate::views::services::ServiceKind;

/// How many colours there are to tell services apart.
const COLORS: u32 = 20;

/// A service of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct LegendEntry {
    /// Index of its name in `strings`.
    pub name: u32,
    /// Its colour, 0 to 19: always the same for the same name.
    pub color: u32,
    /// What it mainly does in this trace.
    pub kind: ServiceKind,
    /// Sum of the self times of its spans, in nanoseconds.
    pub self_ns: u64,
}

/// The services by first appearance, and for each row which one it belongs to.
pub(crate) fn legend(
    spans: &[TraceSpan],
    forest: &Forest,
    self_ns: &[u64],
    strings: &mut Strings,
) -> (Vec<LegendEntry>, Vec<u32>) {
    let mut places: FxHashMap<&Arc<str>, u32> = FxHashMap::default();
    let mut entries: Vec<LegendEntry> = Vec::new();
    let mut svc = Vec::with_capacity(forest.rows.len());
    for (row, own) in forest.rows.iter().zip(self_ns) {
        let span = &spans[row.span as usize];
        let place = *places.entry(&span.service).or_insert_with(|| {
            // A service is taken for a database until a span says otherwise.
            let name = strings.index(&span.service);
            entries.push(LegendEntry { name, color: color(&span.service), kind: ServiceKind::Db, self_ns: 0 });
            entries.len() as u32 - 1
        });
        let entry = &mut entries[place as usize];
        entry.self_ns = entry.self_ns.saturating_add(*own);
        entry.kind = match (entry.kind, span.kind) {
            (_, SpanKind::Server) => ServiceKind::Web,
            (ServiceKind::Web, _) => ServiceKind::Web,
            (_, SpanKind::Consumer) => ServiceKind::Worker,
            (ServiceKind::Db, _) if span.db_system.is_none() => ServiceKind::Custom,
            (kind, _) => kind,
        };
        svc.push(place);
    }
    (entries, svc)
}

/// A colour that depends on the name alone (FNV-1a), so that a service looks the same in every trace
/// and to every viewer.
pub(crate) fn color(service: &str) -> u32 {
    let hash = service.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % COLORS
}
