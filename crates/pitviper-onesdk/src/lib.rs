//! The C interface of Dynatrace's OneAgent SDK, version 1.7 (`onesdk_*`), on the agent core.
//!
//! Libraries and C programs that were written for the SDK trace through Pitviper: what they call are the
//! functions of [`ffi`], which look up a handle and change a tracer. Whoever builds a library of this
//! crate says with [`attach`] where spans live: in Python's context variables, or in each thread.
//!
//! Invariants:
//! - Nothing a caller does with handles, texts or order can do more than have no effect; it is told through
//!   the warning callback. Only pointers that a caller gives must be what C expects.
//! - No panic leaves a function, and no call waits for a lock that is held while foreign code runs.
//!
//! Source: the header files of the OneAgent SDK for C/C++ 1.7 and the documentation of the SDK for Python
//! 1.5.

pub mod calls;
mod describe;
pub mod ffi;
mod handles;
mod links;
pub mod state;
mod text;
mod tracer;

use std::sync::{Arc, OnceLock};

use pitviper_agent::{Agent, SpanContext};
use pitviper_model::SpanKind;

pub use text::{MAX_LONG, MAX_SHORT};

/// The version of the C interface.
pub const INTERFACE_VERSION: [u32; 3] = [1, 7, 1];
/// What calls itself the agent, with an end for C.
pub const AGENT_VERSION: &std::ffi::CStr =
    match std::ffi::CStr::from_bytes_with_nul(concat!("pitviper-", env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"pitviper",
    };

/// The instrumentation scope of spans that were made through the SDK.
pub const SCOPE: &str = "oneagent-sdk";

/// What is current in the calling context.
#[derive(Debug)]
pub struct Current {
    /// Its ids.
    pub context: SpanContext,
    /// Its role; `None` for a span of another process or another library.
    pub kind: Option<SpanKind>,
    /// Its service, when that is not the process's own.
    pub service: Option<Arc<str>>,
}

/// How a span of a tracer begins.
#[derive(Debug)]
pub struct Begin<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its role.
    pub kind: SpanKind,
    /// What it is part of, when that is not what is current.
    pub parent: Option<&'a SpanContext>,
    /// The service that begins with it; by default that of what is current.
    pub service: Option<&'a Arc<str>>,
}

/// A span that is under way and current.
pub trait Open: Send {
    /// Its ids.
    fn context(&self) -> SpanContext;
    /// Changes it; does nothing when somebody else is changing it.
    fn change(&self, change: &mut dyn FnMut(&mut pitviper_agent::Span));
    /// Ends it, and makes current again what was.
    fn end(self: Box<Self>);
}

/// Where spans live.
pub trait Spans: Sync {
    /// The agent that records.
    fn agent(&self) -> &'static Agent;
    /// What is current, if anything.
    fn current(&self) -> Option<Current>;
    /// Starts a span and makes it current; `None` when no instrumentation is wanted there.
    fn start(&self, begin: &Begin<'_>) -> Option<Box<dyn Open>>;
    /// Changes the request that is being served: the nearest span around the current one that serves
    /// something, or the current one. Returns whether there is one.
    fn change_request(&self, change: &mut dyn FnMut(&mut pitviper_agent::Span)) -> bool;
    /// The last who used the SDK has shut it down: what has ended is to be sent, where nobody else sees to that.
    fn send(&self) {}
}

static SPANS: OnceLock<&'static dyn Spans> = OnceLock::new();

/// Says where spans live; only the first call counts.
pub fn attach(spans: &'static dyn Spans) {
    // A second call comes from the same library, loaded once more under another name.
    let _ = SPANS.set(spans);
}

pub(crate) fn spans() -> Option<&'static dyn Spans> {
    SPANS.get().copied()
}

/// Runs `work`; a panic gives the default instead.
pub(crate) fn shield<T: Default>(work: impl FnOnce() -> T) -> T {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_default()
}
