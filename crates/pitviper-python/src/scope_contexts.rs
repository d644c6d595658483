//! Integrations that neither go on with other processes' traces nor tell of their own, as `ddtrace.config` has it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use pitviper_model::SpanKind;
use pyo3::prelude::*;

use crate::runtime::agent;
use crate::span::Span;
use crate::span_context::context_of;
use crate::start::current;

/// Whether any integration is one. Most processes pay for this flag alone.
static ANY: AtomicBool = AtomicBool::new(false);
/// By name, for a scope has another number in each service; there are no more than there are integrations.
static ALONE: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Says whether spans of a scope continue what other processes hand over, and are handed over to them.
#[pyfunction]
pub(crate) fn set_scope_distributed(scope: &str, distributed: bool) {
    let mut alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    alone.retain(|known| known != scope);
    if !distributed {
        alone.push(scope.to_owned());
    }
    ANY.store(!alone.is_empty(), Ordering::Relaxed);
}

/// Whether a span of this scope is not to continue what another process handed over.
#[inline]
pub(crate) fn ignores(scope: u16, given: &Bound<'_, PyAny>) -> bool {
    ANY.load(Ordering::Relaxed) && context_of(given).is_some_and(|given| given.is_remote) && is_alone(scope)
}

/// Whether a span of this scope is not to be linked to those of other processes.
#[inline]
pub(crate) fn is_unlinked(scope: u16) -> bool {
    ANY.load(Ordering::Relaxed) && is_alone(scope)
}

/// Whether a span, or the current one, is that of a call which is not to be handed over. What is served may
/// ignore its caller, and is still what calls of others are made for.
#[inline]
pub(crate) fn keeps(py: Python<'_>, span: Option<&Bound<'_, PyAny>>) -> bool {
    ANY.load(Ordering::Relaxed) && is_kept(py, span)
}

#[cold]
fn is_kept(py: Python<'_>, span: Option<&Bound<'_, PyAny>>) -> bool {
    let span = match span.filter(|span| !span.is_none()) {
        Some(given) => given.cast::<Span>().ok().cloned(),
        None => current(py),
    };
    let calls = |kind| matches!(kind, SpanKind::Client | SpanKind::Producer);
    let scope = span.and_then(|span| span.get().peek(py, |span| calls(span.kind()).then(|| span.scope())));
    scope.is_some_and(is_alone)
}

#[cold]
fn is_alone(scope: u16) -> bool {
    // Nobody writes but while the application configures itself; a fork in the midst of that leaves it locked.
    let Ok(alone) = ALONE.try_read() else { return false };
    let scope = agent().scope_at(scope);
    alone.iter().any(|known| *known == scope.name)
}
