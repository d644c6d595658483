//! Who made what is exported: the instrumentation scope, and the process or service it is told of. Items in the queue
//! are numbered by them.

use std::sync::Arc;

use pitviper_model::{Attributes, Scope};

use crate::agent::Agent;
use crate::queue::Signal;

/// Most instrumentation scopes; later ones are reported as the first.
const MAX_SCOPES: usize = 256;

/// Who made a span: the instrumentation scope, and the resource and the service when they are not the
/// process's.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) scope: Arc<Scope>,
    pub(crate) resource: Option<Arc<Attributes>>,
    pub(crate) service: Option<Arc<str>>,
}

impl Origin {
    pub(crate) fn named(name: &str, version: &str) -> Self {
        let (name, version) = (name.to_owned(), version.to_owned());
        Self { scope: Arc::new(Scope { name, version, ..Scope::default() }), resource: None, service: None }
    }

    fn is_own(&self, name: &str) -> bool {
        self.is_of_process() && self.scope.name == name && self.scope.attributes.0.is_empty()
    }

    fn is_of_process(&self) -> bool {
        self.resource.is_none() && self.service.is_none()
    }

    /// Whether both go out with the same resource.
    pub(crate) fn shares_resource(&self, other: &Self) -> bool {
        self.resource == other.resource && self.service == other.service
    }
}

impl Agent {
    /// The number of the instrumentation scope of this name, for [`SpanOptions::scope`](crate::SpanOptions::scope).
    #[must_use]
    pub fn scope(&self, name: &str) -> u16 {
        if name.is_empty() {
            return 0;
        }
        self.with_origins(|origins| match origins.iter().position(|origin| origin.is_own(name)) {
            Some(found) => found as u16,
            None => add(origins, Origin::named(name, "")),
        })
    }

    /// The number of a scope that a tracer of the application's names, with the resource its provider
    /// was given, if any.
    #[must_use]
    pub fn scope_of_tracer(&self, scope: Scope, resource: Option<Arc<Attributes>>) -> u16 {
        self.with_origins(|origins| {
            let same =
                |origin: &Origin| *origin.scope == scope && origin.resource == resource && origin.service.is_none();
            match origins.iter().position(same) {
                Some(found) => found as u16,
                None => add(origins, Origin { scope: Arc::new(scope), resource, service: None }),
            }
        })
    }

    /// The number of the same scope within this service of the process; `None` for the process's own.
    pub(crate) fn scope_in_service(&self, scope: u16, service: Option<&Arc<str>>) -> u16 {
        self.with_origins(|origins| {
            let Origin { scope: name, resource, .. } = origins[usize::from(scope)].clone();
            let same = |origin: &Origin| {
                origin.service.as_ref() == service && *origin.scope == *name && origin.resource == resource
            };
            match origins.iter().position(same) {
                Some(found) => found as u16,
                // Where there is no room the service is lost, and the scope is not.
                None if origins.len() >= MAX_SCOPES => scope,
                None => add(origins, Origin { scope: name, resource, service: service.cloned() }),
            }
        })
    }

    /// The name and version behind a scope's number.
    #[must_use]
    pub fn scope_at(&self, scope: u16) -> Arc<Scope> {
        self.with_origins(|origins| Arc::clone(&origins[usize::from(scope)].scope))
    }

    /// Says which version of the instrumented library stands behind a scope. It goes out with the
    /// batches that are sent from now on.
    pub fn set_scope_version(&self, name: &str, version: &str) {
        let index = usize::from(self.scope(name));
        self.with_origins(|origins| {
            if origins[index].scope.name != name {
                return;
            }
            let Origin { scope: renamed, .. } = Origin::named(name, version);
            for origin in origins.iter_mut().filter(|origin| origin.scope.name == name && origin.resource.is_none()) {
                if origin.scope.attributes.0.is_empty() {
                    origin.scope = Arc::clone(&renamed);
                }
            }
        });
    }

    /// Who made the items that batches of a signal are numbered by.
    pub(crate) fn origins_of(&self, signal: Signal) -> Vec<Origin> {
        let own = |scope| Origin { scope, resource: None, service: None };
        match signal {
            Signal::Spans => self.with_origins(|origins| origins.clone()),
            Signal::Logs => self.log_scopes.all().into_iter().map(own).collect(),
            Signal::Metrics => self.registry.scopes().into_iter().map(own).collect(),
            // A profile names what made it itself.
            Signal::Profiles => Vec::new(),
        }
    }
}

fn add(origins: &mut Vec<Origin>, origin: Origin) -> u16 {
    if origins.len() >= MAX_SCOPES {
        return 0;
    }
    origins.push(origin);
    (origins.len() - 1) as u16
}
