//! Where spans live that are made through the OneAgent SDK: in context variables, among all others. What C
//! calls is in [`pitviper_onesdk`], whose functions this module exports.
#![expect(unsafe_code, reason = "the loader is asked for this library by C calls")]

use pitviper_agent::Agent;
use pitviper_model::SpanKind;
use pitviper_onesdk::{Begin, Current, Open, SCOPE, Spans};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::baggage;
use crate::runtime::agent;
use crate::span::{self, Maker, Span};
use crate::span_context::SpanContext;
use crate::start::{self, Start};

/// Most spans around the current one that are looked through for the request that is being served.
const MAX_AROUND: usize = 64;

/// Makes the SDK's functions those that libraries find which are loaded from now on, whatever they are linked
/// with: Python loads its modules for themselves. What C code in this process traces is then among all other
/// spans. Returns whether that worked.
#[pyfunction]
pub(crate) fn share_onesdk() -> bool {
    static HERE: u8 = 0;
    // SAFETY: dladdr is given an address within this library and a structure that it fills if it succeeds; the
    // name that it finds is the loader's, which lives as long as the library. Opening what is loaded already
    // runs nothing.
    unsafe {
        let mut found = std::mem::zeroed::<libc::Dl_info>();
        if libc::dladdr((&raw const HERE).cast(), &raw mut found) == 0 || found.dli_fname.is_null() {
            return false;
        }
        !libc::dlopen(found.dli_fname, libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_GLOBAL).is_null()
    }
}

/// Spans of the SDK in Python.
pub(crate) struct InContextVariables;

impl Spans for InContextVariables {
    fn agent(&self) -> &'static Agent {
        agent()
    }

    fn current(&self) -> Option<Current> {
        Python::try_attach(|py| {
            let Some(span) = start::current(py) else {
                return Some(Current { context: start::current_context(py)?, kind: None, service: None });
            };
            let span = span.get();
            let (mut context, service) = (span.core_context().clone(), span.service(py));
            if baggage::is_seen() {
                // With what the application made of it since.
                context.baggage = baggage::current(py);
            }
            (!span.has_ended()).then(|| Current { context, kind: Some(span.peek(py, |span| span.kind())), service })
        })?
    }

    fn start(&self, begin: &Begin<'_>) -> Option<Box<dyn Open>> {
        let span = Python::try_attach(|py| {
            let parent = begin.parent.map(|parent| Bound::new(py, SpanContext(parent.clone()))).transpose().ok()?;
            let name = PyString::new(py, begin.name);
            let start = Start {
                name: name.as_any(),
                kind: begin.kind,
                start_time: None,
                scope: agent().scope(SCOPE),
                attributes: None,
                links: None,
                service: begin.service,
            };
            let mut maker = Maker::Agent;
            let begun = start::start(py, &start, parent.as_ref().map(Bound::as_any), &mut maker);
            let watched = matches!(maker, Maker::Pipeline(_)) && begun.is_recording();
            let span = Bound::new(py, Span::make(begun, maker)).ok()?;
            if watched {
                start::tell_start(&span);
            }
            span::enter(&span);
            Some(span.unbind())
        })??;
        Some(Box::new(Held(span)))
    }

    fn change_request(&self, change: &mut dyn FnMut(&mut pitviper_agent::Span)) -> bool {
        let changed = Python::try_attach(|py| {
            let Some(current) = start::current(py) else { return false };
            span::change(&request_around(current), change);
            true
        });
        changed.unwrap_or(false)
    }
}

/// The nearest span that serves something, or else this one.
fn request_around<'py>(current: Bound<'py, Span>) -> Bound<'py, Span> {
    let py = current.py();
    let serves = |span: &Span| matches!(span.peek(py, |span| span.kind()), SpanKind::Server | SpanKind::Consumer);
    let mut at = current.clone();
    for _ in 0..MAX_AROUND {
        if serves(at.get()) {
            return at;
        }
        let Some(Ok(around)) = at.get().around(at.py()).map(Bound::cast_into::<Span>) else { break };
        at = around;
    }
    current
}

/// A span that a tracer has under way.
struct Held(Py<Span>);

impl Open for Held {
    fn context(&self) -> pitviper_agent::SpanContext {
        self.0.get().core_context().clone()
    }

    fn change(&self, change: &mut dyn FnMut(&mut pitviper_agent::Span)) {
        Python::try_attach(|py| span::change(self.0.bind(py), change));
    }

    fn end(self: Box<Self>) {
        Python::try_attach(|py| span::leave(self.0.bind(py), None));
    }
}
