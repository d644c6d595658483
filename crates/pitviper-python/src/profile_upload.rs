//! From the profiler to the agent, which sends profiles, and to files.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use pitviper_agent::{ProfileSource, Profiles};
use pitviper_pprof::{Profile, write_collapsed, write_html, write_pprof, write_speedscope};
use pitviper_profiler::Profiler;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::runtime::agent;
use crate::shield::{shield, shield_native};
use crate::{convert, host};

/// The next profile is the last one.
static LAST: AtomicBool = AtomicBool::new(false);
/// What collapsed stacks show, which have one value: the first of these that was sampled.
const COLLAPSED: [&str; 2] = ["cpu", "wall"];

struct Sampled;

impl ProfileSource for Sampled {
    fn take(&self) -> Option<Vec<u8>> {
        take(LAST.load(Ordering::Relaxed)).filter(|profile| !profile.samples.is_empty()).map(|it| write_pprof(&it))
    }
}

/// What was sampled since the last time, if this process samples: a forked child that does not has what is the
/// parent's.
fn take(last: bool) -> Option<Profile> {
    let profiler = Profiler::get();
    if !profiler.figures().running {
        return None;
    }
    // Python has named them, see `pitviper.profiles`.
    let names = HashMap::new();
    if last { profiler.take_last(&names) } else { profiler.take(&names) }
}

/// A profile in a format; `None` for one that nobody knows.
fn write(profile: &Profile, format: &str, title: &str) -> Option<Vec<u8>> {
    match format {
        "pprof" => Some(write_pprof(profile)),
        "html" => Some(write_html(profile, title).into_bytes()),
        "speedscope" => Some(write_speedscope(profile, title).into_bytes()),
        "collapsed" => {
            let text = COLLAPSED.iter().map(|kind| write_collapsed(profile, kind)).find(|text| !text.is_empty());
            Some(text.unwrap_or_default().into_bytes())
        }
        _ => None,
    }
}

/// Takes the settings of profiles; may be called again. While they are enabled, the exporter takes and sends one
/// from time to time.
#[pyfunction]
#[pyo3(signature = (*, enabled, url, headers, period_ms, attributes))]
pub(crate) fn configure_profiles(
    enabled: bool,
    url: String,
    headers: Vec<(String, String)>,
    period_ms: u64,
    attributes: &Bound<'_, PyAny>,
) {
    shield((), || {
        LAST.store(false, Ordering::Relaxed);
        agent().set_profile_source(&Sampled);
        Profiler::get().on_new_thread(crate::companion::name_threads_soon);
        let attributes = convert::to_attributes(Some(attributes));
        agent().configure_profiles(Profiles { enabled, url, headers, period_ms: period_ms.max(1), attributes });
    });
    host::watch_forks();
}

/// Says that the next profile is the last one: it has all that is known of CPU time.
#[pyfunction]
pub(crate) fn end_profile() {
    LAST.store(true, Ordering::Relaxed);
}

/// Queues what was sampled since the last time, before nothing is sampled any more.
#[pyfunction]
pub(crate) fn queue_profile(py: Python<'_>) {
    py.detach(|| shield_native((), || agent().take_profile()));
}

/// What was sampled since the last time as a file, with the number of its samples and how long it lasted in
/// nanoseconds; None when nothing is sampled. Raises ValueError for an unknown format.
#[pyfunction]
pub(crate) fn take_profile<'py>(
    py: Python<'py>,
    format: &str,
    title: &str,
) -> PyResult<Option<(Bound<'py, PyBytes>, usize, u64)>> {
    let written = py.detach(|| {
        shield_native(None, || {
            let profile = take(true)?;
            Some((write(&profile, format, title), profile.samples.len(), profile.duration_ns))
        })
    });
    match written {
        None => Ok(None),
        Some((Some(bytes), samples, duration_ns)) => Ok(Some((PyBytes::new(py, &bytes), samples, duration_ns))),
        Some((None, ..)) => {
            Err(PyValueError::new_err(format!("unknown format {format:?}; use html, speedscope, pprof or collapsed")))
        }
    }
}
