//! What Python knows of the process, told to the agent.

use std::path::Path;
use std::time::Duration;

use pitviper_agent::{GENERATIONS, GenerationStats};
use pitviper_model::Value;
use pitviper_profiler::Profiler;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::host;
use crate::runtime::agent;
use crate::shield::shield;

/// For `gc.callbacks`: called when a garbage collection begins and ends. It makes no object.
#[pyfunction]
pub(crate) fn gc_event(phase: &Bound<'_, PyAny>, info: &Bound<'_, PyAny>) {
    shield((), || {
        let Ok(phase) = phase.extract::<&str>() else { return };
        if phase == "start" {
            agent().gc_began();
        } else if let Ok(info) = info.cast::<PyDict>() {
            let number = |name: &str| -> Option<u64> { info.get_item(name).ok()??.extract().ok() };
            let generation = number("generation").unwrap_or_default() as usize;
            let (collected, uncollectable) = (number("collected"), number("uncollectable"));
            let pause = agent().gc_ended(generation, collected.unwrap_or_default(), uncollectable.unwrap_or_default());
            if let Some(pause) = pause {
                Profiler::get().collected(generation as u64, pause, host::own_state(info.py()).0);
            }
        }
    });
}

/// Takes the list of `gc.get_stats()`: what happened before the collector was watched.
#[pyfunction]
pub(crate) fn seed_gc(stats: &Bound<'_, PyList>) {
    shield((), || {
        let mut seeds = [GenerationStats::default(); GENERATIONS];
        for (seed, item) in seeds.iter_mut().zip(stats) {
            let number = |name: &str| item.get_item(name).and_then(|value| value.extract()).unwrap_or_default();
            *seed = GenerationStats {
                collections: number("collections"),
                collected: number("collected"),
                uncollectable: number("uncollectable"),
            };
        }
        agent().seed_gc(&seeds);
    });
}

/// An event loop ran a timer that many seconds too late.
#[pyfunction]
pub(crate) fn record_event_loop_lag(seconds: f64) {
    shield((), || agent().event_loop_lagged(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()));
}

/// Says which server's worker this process is, and its number or name there.
#[pyfunction]
pub(crate) fn set_worker(kind: &str, name: &str) {
    shield((), || agent().set_worker(kind, name));
}

/// What describes the machine, the container and the pod, by OpenTelemetry's conventions.
#[pyfunction]
pub(crate) fn machine_attributes(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    let attributes = pitviper_agent::machine_attributes(Path::new("/"), |name| std::env::var(name).ok());
    for (key, value) in attributes.iter() {
        match value {
            Value::String(text) => dict.set_item(key, text)?,
            Value::Array(items) => {
                let texts =
                    items.iter().filter_map(|item| if let Value::String(text) = item { Some(text) } else { None });
                dict.set_item(key, texts.collect::<Vec<_>>())?;
            }
            _ => {}
        }
    }
    Ok(dict)
}
