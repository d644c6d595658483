//! Where spans live in a C program: each thread has a stack of those that it has under way.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};

use pitviper_agent::{Agent, Parent, Span, SpanContext, SpanOptions};
use pitviper_model::SpanKind;
use pitviper_onesdk::{Begin, Current, Open, SCOPE, Spans};

use crate::{host, settings};

static AGENT: OnceLock<&'static Agent> = OnceLock::new();

/// The agent, which begins with its first use.
pub(crate) fn agent() -> &'static Agent {
    AGENT.get_or_init(|| {
        host::watch();
        Agent::leak(settings::config(), host::host())
    })
}

/// The agent, if there is one yet.
pub(crate) fn known_agent() -> Option<&'static Agent> {
    AGENT.get().copied()
}

/// A span that a tracer has under way.
#[derive(Debug)]
struct Frame {
    context: SpanContext,
    kind: SpanKind,
    service: Option<Arc<str>>,
    /// `None` once it has ended.
    span: Mutex<Option<Span>>,
}

impl Frame {
    fn change(&self, change: &mut dyn FnMut(&mut Span)) {
        let mut span = match self.span.try_lock() {
            Ok(span) => span,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if let Some(span) = &mut *span {
            change(span);
        }
    }

    fn has_ended(&self) -> bool {
        // Whoever holds it is changing or ending it, in another thread.
        self.span.try_lock().is_ok_and(|span| span.is_none())
    }
}

thread_local! {
    /// The current span is the last one.
    static STACK: RefCell<Vec<Arc<Frame>>> = const { RefCell::new(Vec::new()) };
}

/// Works with the calling thread's stack, without spans on top that another thread has ended.
fn with_stack<T>(work: impl FnOnce(&mut Vec<Arc<Frame>>) -> T) -> Option<T> {
    // A thread that is ending has no stack any more.
    let worked = STACK.try_with(|stack| {
        let mut stack = stack.try_borrow_mut().ok()?;
        while stack.last().is_some_and(|frame| frame.has_ended()) {
            stack.pop();
        }
        Some(work(&mut stack))
    });
    worked.ok()?
}

/// Spans of C programs.
pub(crate) struct InThreads;

/// The one that there is.
pub(crate) static IN_THREADS: InThreads = InThreads;

impl Spans for InThreads {
    fn agent(&self) -> &'static Agent {
        agent()
    }

    fn current(&self) -> Option<Current> {
        let frame = with_stack(|stack| stack.last().cloned())??;
        Some(Current { context: frame.context.clone(), kind: Some(frame.kind), service: frame.service.clone() })
    }

    fn start(&self, begin: &Begin<'_>) -> Option<Box<dyn Open>> {
        let around = with_stack(|stack| stack.last().cloned())?;
        let (parent, inherited) = match (begin.parent, &around) {
            (Some(parent), _) => (Parent::Context(parent), None),
            (None, Some(around)) => (Parent::Context(&around.context), around.service.as_ref()),
            (None, None) => (Parent::Root, None),
        };
        let service = begin.service.or(inherited);
        let span = agent().start(&SpanOptions {
            name: begin.name,
            kind: begin.kind,
            parent,
            start_time_unix_nano: None,
            scope: agent().scope(SCOPE),
            limits: None,
            service,
        });
        let frame = Arc::new(Frame {
            context: span.context().clone(),
            kind: begin.kind,
            service: service.cloned(),
            span: Mutex::new(Some(span)),
        });
        with_stack(|stack| stack.push(Arc::clone(&frame)))?;
        Some(Box::new(Held(frame)))
    }

    fn change_request(&self, change: &mut dyn FnMut(&mut Span)) -> bool {
        let serves = |frame: &&Arc<Frame>| matches!(frame.kind, SpanKind::Server | SpanKind::Consumer);
        let request = with_stack(|stack| stack.iter().rev().find(serves).or(stack.last()).cloned());
        let Some(Some(request)) = request else { return false };
        request.change(change);
        true
    }

    fn send(&self) {
        agent().flush_once(settings::exit_timeout());
    }
}

/// What a tracer holds of its span.
struct Held(Arc<Frame>);

impl Open for Held {
    fn context(&self) -> SpanContext {
        self.0.context.clone()
    }

    fn change(&self, change: &mut dyn FnMut(&mut Span)) {
        self.0.change(change);
    }

    /// Spans within it that are still under way go on as what they are.
    fn end(self: Box<Self>) {
        with_stack(|stack| stack.retain(|frame| !Arc::ptr_eq(frame, &self.0)));
        let span = self.0.span.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut span) = span {
            span.end(None);
        }
    }
}
