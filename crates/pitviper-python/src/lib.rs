//! The extension module `pitviper._native`: converts between Python and the agent core, and
//! decides nothing.
//!
//! Invariants:
//! - A bad argument from an instrumented path never raises: what cannot be represented is left out
//!   and counted. Panics stop at this boundary (see [`shield`]).
//! - The GIL is released while anything waits, for locks of ours too.
//! - Nothing relies on the GIL: classes are frozen, what changes in them is behind a lock or atomic, and no
//!   lock is held while Python code runs but that of a span, which nobody waits for who holds one.
//! - Unsafe code is confined to [`context`], [`freed_exceptions`], [`host`], [`record_fields`], [`try_mutex`] and what
//!   C code calls: [`onesdk`] and [`onesdk_face`].

mod baggage;
mod changing;
mod client;
mod companion;
mod configure;
mod context;
mod convert;
mod exact_locks;
mod exception;
mod faces;
mod foreign;
mod freed_exceptions;
mod host;
mod late;
mod logs;
mod metrics;
mod once;
mod onesdk;
mod onesdk_face;
mod pipeline;
mod process;
mod profile_events;
mod profile_upload;
mod profiling;
mod propagate;
mod record_fields;
mod remote_settings;
mod reused;
mod runtime;
mod runtime_context;
mod scope_contexts;
mod scope_services;
mod server;
mod shield;
mod signals;
mod span;
mod span_context;
mod start;
mod statements;
mod tracer;
mod try_mutex;
mod work;

use pyo3::prelude::*;

/// The native half of the agent.
#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::baggage::{get_baggage, set_baggage};
    #[pymodule_export]
    use crate::client::{
        answered_call, current_call, describe_call, end_call, inside_call, masked_query, masked_url, start_call,
        start_http_call,
    };
    #[pymodule_export]
    use crate::companion::{companion_wanted, interpreter_forks, set_companion_hook, told_settings};
    #[pymodule_export]
    use crate::configure::configure;
    #[pymodule_export]
    use crate::exact_locks::{ExactLock, ExactRLock, told_lock};
    #[pymodule_export]
    use crate::faces::bind_opentelemetry;
    #[pymodule_export]
    use crate::foreign::export_span;
    #[pymodule_export]
    use crate::freed_exceptions::profiler_watch_freed;
    #[pymodule_export]
    use crate::host::{send_before_exit, send_before_sigterm};
    #[pymodule_export]
    use crate::late::{decide, discard, service_of, set_kind, set_service, set_start, told};
    #[pymodule_export]
    use crate::logs::{emit_log, emit_record, mark_record};
    #[pymodule_export]
    use crate::metrics::{Instrument, RequestMeter};
    #[pymodule_export]
    use crate::onesdk::share_onesdk;
    #[pymodule_export]
    use crate::onesdk_face::OneSdk;
    #[pymodule_export]
    use crate::pipeline::{Pipeline, set_own_pipeline};
    #[pymodule_export]
    use crate::process::{gc_event, machine_attributes, record_event_loop_lag, seed_gc, set_worker};
    #[pymodule_export]
    use crate::profile_events::{profiler_events, profiler_raised};
    #[pymodule_export]
    use crate::profile_upload::{configure_profiles, end_profile, queue_profile, take_profile};
    #[pymodule_export]
    use crate::profiling::{
        context_names, profiler_figures, profiler_name_threads, profiler_resume, profiler_start, profiler_stop,
        profiler_take, profiler_wants_tasks, profiler_watch_tasks,
    };
    #[pymodule_export]
    use crate::propagate::{
        context_fields, extract, extract_natively, inject_into, inject_natively, injected_fields, read_context,
        set_foreign_propagator,
    };
    #[pymodule_export]
    use crate::remote_settings::read_settings;
    #[pymodule_export]
    use crate::runtime::{finish, flush, flush_once, now, set_scope_version, shutdown, stats};
    #[pymodule_export]
    use crate::runtime_context::{RuntimeContext, http_suppressed, worker_loop};
    #[pymodule_export]
    use crate::scope_contexts::set_scope_distributed;
    #[pymodule_export]
    use crate::scope_services::set_scope_service;
    #[pymodule_export]
    use crate::server::{host_and_port, name_by_route, queue_time_ms, start_asgi_request};
    #[pymodule_export]
    use crate::signals::configure_signals;
    #[pymodule_export]
    use crate::span::Span;
    #[pymodule_export]
    use crate::span_context::SpanContext;
    #[pymodule_export]
    use crate::start::{activate, current_span, deactivate, finish_leaf, start_as_current_span, start_span};
    #[pymodule_export]
    use crate::statements::{Statements, describe_statement};
    #[pymodule_export]
    use crate::tracer::{SpanBlock, Tracer};
    #[pymodule_export]
    use crate::work::{begin_work, end_work, fail_work};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::shield::show_panics_once();
        crate::runtime::look_for_interpreter_lock(module.py());
        // Classes that PyO3 makes when they are needed first, which lets go of the interpreter; see `once`.
        crate::baggage::make_classes(module.py());
        crate::runtime_context::make_classes(module.py());
        crate::work::make_class(module.py());
        pitviper_onesdk::attach(&crate::onesdk::InContextVariables);
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
