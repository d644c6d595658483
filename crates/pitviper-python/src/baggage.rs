//! Baggage in the process: what came with a request belongs to its span and goes on with its children,
//! wherever they begin. What the application changes holds in its own context, as long as the span that
//! was current is, and for the spans begun below it.
//!
//! OpenTelemetry's contexts hold baggage too. Whoever makes one of those current changes ours with it, and
//! whoever asks for the current one finds ours in it; see [`crate::runtime_context`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pitviper_agent::{Baggage, Member, Parent, SpanContext};
use pitviper_model::SpanId;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::once::Once;
use crate::propagate::owned;
use crate::runtime::agent;
use crate::shield::shield;
use crate::span_context::context_of;
use crate::{context, start};

/// Whether there ever was any. Most processes never see it, and pay for this flag alone.
static SEEN: AtomicBool = AtomicBool::new(false);
static VARIABLE: Once<Py<PyAny>> = Once::new();

/// How many spans a context remembers changes of. Those of spans that have ended are never asked for again,
/// so only who changes baggage in more nested spans than this loses the outermost change.
const MAX_CHANGES: usize = 32;

/// What the application made of the baggage of spans that were current, the latest last. The id of a span
/// is invalid for none.
#[pyclass(frozen, module = "pitviper._native")]
struct Changes(Vec<(SpanId, Option<Arc<Baggage>>)>);

/// Makes its class, which is no part of the module.
pub(crate) fn make_classes(py: Python<'_>) {
    py.get_type::<Changes>();
}

fn variable(py: Python<'_>) -> Option<&Bound<'_, PyAny>> {
    let made = VARIABLE.get_or_try_init(py, || context::new_variable(py, c"pitviper_baggage"));
    made.ok().map(|variable| variable.bind(py))
}

/// Says that there is baggage from now on.
pub(crate) fn note() {
    SEEN.store(true, Ordering::Relaxed);
}

#[inline]
pub(crate) fn is_seen() -> bool {
    SEEN.load(Ordering::Relaxed)
}

/// What the application made of the baggage of a span that is current; `None` when it changed nothing.
fn changed(py: Python<'_>, span_id: SpanId) -> Option<Option<Arc<Baggage>>> {
    let value = context::get_from(variable(py)?)?;
    let changes = &value.cast::<Changes>().ok()?.get().0;
    changes.iter().rev().find(|(changed, _)| *changed == span_id).map(|(_, baggage)| baggage.clone())
}

/// A context that only passes something on.
pub(crate) fn only(baggage: Option<Arc<Baggage>>) -> SpanContext {
    SpanContext { baggage, ..SpanContext::default() }
}

/// The context that calls made here pass on, or those of `span`; with the application's changes.
pub(crate) fn context_to_pass_on(py: Python<'_>, span: Option<&Bound<'_, PyAny>>) -> Option<SpanContext> {
    let found = match span.filter(|span| !span.is_none()) {
        Some(span) => context_of(span),
        None => start::current_context(py),
    };
    if !is_seen() {
        return found.filter(SpanContext::is_valid);
    }
    let mut found = found.unwrap_or_else(|| only(None));
    if let Some(changed) = changed(py, found.span_id) {
        found.baggage = changed;
    }
    (found.is_valid() || found.baggage.is_some()).then_some(found)
}

/// The baggage that is current.
pub(crate) fn current(py: Python<'_>) -> Option<Arc<Baggage>> {
    if is_seen() { context_to_pass_on(py, None)?.baggage } else { None }
}

/// The parent of a span that begins below the current one, with the application's changes; `slot` holds it
/// when there are any.
#[inline]
pub(crate) fn below<'a>(py: Python<'_>, parent: Parent<'a>, slot: &'a mut Option<SpanContext>) -> Parent<'a> {
    if is_seen() { below_seen(py, parent, slot) } else { parent }
}

#[cold]
fn below_seen<'a>(py: Python<'_>, parent: Parent<'a>, slot: &'a mut Option<SpanContext>) -> Parent<'a> {
    let span_id = match parent {
        Parent::Root => SpanId::INVALID,
        Parent::Context(context) => context.span_id,
    };
    match changed(py, span_id) {
        Some(baggage) => with_baggage(parent, baggage, slot),
        None => parent,
    }
}

/// A parent with other baggage than its own.
pub(crate) fn with_baggage<'a>(
    parent: Parent<'a>,
    baggage: Option<Arc<Baggage>>,
    slot: &'a mut Option<SpanContext>,
) -> Parent<'a> {
    let base = match parent {
        Parent::Root => only(None),
        Parent::Context(context) => context.clone(),
    };
    Parent::Context(slot.insert(SpanContext { baggage, ..base }))
}

/// The baggage of the span that ended, for one that begins after it.
pub(crate) fn after(py: Python<'_>, ended: &SpanContext) -> Option<SpanContext> {
    if !is_seen() {
        return None;
    }
    let baggage = changed(py, ended.span_id).unwrap_or_else(|| ended.baggage.clone());
    baggage.is_some().then(|| only(baggage))
}

/// Baggage of a mapping. Properties of members that are as they were stay with them.
pub(crate) fn of_mapping(py: Python<'_>, mapping: &Bound<'_, PyAny>) -> Option<Arc<Baggage>> {
    let items = mapping.cast::<PyMapping>().ok()?.items().ok()?;
    if items.is_empty() {
        return None;
    }
    let before = current(py);
    let before = before.as_ref().map(|baggage| baggage.members()).unwrap_or_default();
    let members = items.iter().filter_map(|pair| {
        let (key, value) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>().ok()?;
        let (key, value) = (owned(&key), owned(&value));
        let same = before.iter().find(|member| member.key == key && member.value == value);
        let properties = same.map(|member| member.properties.clone()).unwrap_or_default();
        Some(Member { key, value, properties })
    });
    let (baggage, dropped) = Baggage::new(members);
    agent().count_dropped_baggage(dropped);
    baggage.map(Arc::new)
}

/// Baggage as a dictionary.
pub(crate) fn to_dict<'py>(py: Python<'py>, baggage: Option<&Baggage>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for member in baggage.into_iter().flat_map(Baggage::members) {
        dict.set_item(&member.key, &member.value)?;
    }
    Ok(dict)
}

/// Whether a dictionary of OpenTelemetry's holds this baggage.
pub(crate) fn is_same(held: Option<&Bound<'_, PyAny>>, baggage: Option<&Baggage>) -> bool {
    let members = baggage.map(Baggage::members).unwrap_or_default();
    let Some(held) = held.and_then(|held| held.cast::<PyDict>().ok()) else { return members.is_empty() };
    held.len() == members.len()
        && members
            .iter()
            .all(|member| held.get_item(&member.key).ok().flatten().is_some_and(|value| owned(&value) == member.value))
}

/// Makes this the baggage of the current span, in the calling context; the token undoes it.
pub(crate) fn change(py: Python<'_>, baggage: Option<Arc<Baggage>>) -> Option<Bound<'_, PyAny>> {
    note();
    let span_id = start::current_context(py).map_or(SpanId::INVALID, |context| context.span_id);
    let variable = variable(py)?;
    let before = context::get_from(variable);
    let before = before.as_ref().and_then(|before| before.cast::<Changes>().ok());
    let mut changes = before.map(|before| before.get().0.clone()).unwrap_or_default();
    changes.retain(|(changed, _)| *changed != span_id);
    if changes.len() >= MAX_CHANGES {
        changes.remove(0);
    }
    changes.push((span_id, baggage));
    let changes = Bound::new(py, Changes(changes)).ok()?;
    context::set_in(variable, changes.as_any()).ok()
}

/// Undoes a [`change`].
pub(crate) fn undo(py: Python<'_>, token: &Bound<'_, PyAny>) -> PyResult<()> {
    variable(py).map_or(Ok(()), |variable| context::reset_in(variable, token))
}

/// The current baggage as a dictionary.
#[pyfunction]
pub(crate) fn get_baggage(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    to_dict(py, shield(None, || current(py)).as_deref())
}

/// Makes a mapping the current baggage.
#[pyfunction]
pub(crate) fn set_baggage(members: &Bound<'_, PyAny>) {
    shield((), || {
        let py = members.py();
        let baggage = of_mapping(py, members);
        change(py, baggage);
    });
}
