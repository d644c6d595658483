//! Services that the application gives to all spans of an integration, as `ddtrace.config` has it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use pyo3::prelude::*;

use crate::runtime::agent;

/// Whether any integration has one. Most processes pay for this flag alone.
static ANY: AtomicBool = AtomicBool::new(false);
/// By the numbers of scopes; there are no more than the agent has scopes.
static SERVICES: RwLock<Vec<(u16, Arc<str>)>> = RwLock::new(Vec::new());

/// Says which service spans of a scope are part of, whatever is around them; with None, no particular one.
#[pyfunction]
#[pyo3(signature = (scope, service = None))]
pub(crate) fn set_scope_service(scope: &str, service: Option<&str>) {
    let number = agent().scope(scope);
    let mut services = SERVICES.write().unwrap_or_else(PoisonError::into_inner);
    services.retain(|(known, _)| *known != number);
    services.extend(service.filter(|name| !name.is_empty()).map(|name| (number, Arc::from(name))));
    ANY.store(!services.is_empty(), Ordering::Relaxed);
}

/// The service of a scope, if it has one.
#[inline]
pub(crate) fn of_scope(scope: u16) -> Option<Arc<str>> {
    if ANY.load(Ordering::Relaxed) { find(scope) } else { None }
}

#[cold]
fn find(scope: u16) -> Option<Arc<str>> {
    // Nobody writes but while the application configures itself; a fork in the midst of that leaves it locked.
    let services = SERVICES.try_read().ok()?;
    services.iter().find(|(known, _)| *known == scope).map(|(_, service)| Arc::clone(service))
}
