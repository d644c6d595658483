//! Contexts from and into the carriers of Python's libraries: one function each way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pitviper_agent::{Carrier, Field};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::once::{Once, intern};
use crate::runtime::agent;
use crate::shield::{shield, shield_attached};
use crate::span_context::SpanContext;
use crate::{baggage, convert, scope_contexts};

/// How a carrier writes the names of fields.
#[derive(Clone, Copy)]
enum Naming {
    /// `traceparent`
    Header = 0,
    /// `HTTP_TRACEPARENT`
    Environ = 1,
    /// `TRACEPARENT`
    Variable = 2,
}

impl Naming {
    fn of(number: u8) -> Self {
        match number {
            1 => Self::Environ,
            2 => Self::Variable,
            _ => Self::Header,
        }
    }

    fn write(self, field: Field) -> String {
        let upper = || field.name().replace('-', "_").to_ascii_uppercase();
        match self {
            Self::Header => field.name().to_owned(),
            Self::Environ => format!("HTTP_{}", upper()),
            Self::Variable => upper(),
        }
    }
}

type Names = [Vec<Py<PyString>>; 3];

/// The names of a naming, by the number of the field.
fn names(py: Python<'_>, naming: Naming) -> &'static [Py<PyString>] {
    static NAMES: Once<Names> = Once::new();
    let all = NAMES.get_or_init(py, || {
        [Naming::Header, Naming::Environ, Naming::Variable]
            .map(|naming| Field::ALL.map(|field| PyString::intern(py, &naming.write(field)).unbind()).into())
    });
    &all[naming as usize]
}

/// The text of a field, copied only if it has to be.
enum Text<'py> {
    Object(Bound<'py, PyString>),
    Copy(String),
}

impl<'py> Text<'py> {
    fn of(value: Bound<'py, PyAny>) -> Option<Self> {
        match value.cast_into::<PyString>() {
            Ok(text) => Some(Self::Object(text)),
            Err(other) => {
                let bytes = other.into_inner().cast_into::<PyBytes>().ok()?;
                Some(Self::Copy(String::from_utf8_lossy(bytes.as_bytes()).into_owned()))
            }
        }
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        match self {
            // Lone surrogates are in no field that can be read.
            Self::Object(text) => text.to_str().unwrap_or_default(),
            Self::Copy(text) => text,
        }
    }
}

/// A dictionary, or anything else with `get`.
struct Mapping<'a, 'py> {
    mapping: &'a Bound<'py, PyAny>,
    names: &'static [Py<PyString>],
}

impl<'py> Carrier for Mapping<'_, 'py> {
    type Text = Text<'py>;

    #[inline]
    fn get(&self, field: Field) -> Option<Text<'py>> {
        let py = self.mapping.py();
        let name = self.names[field as usize].bind(py);
        let value = match self.mapping.cast::<PyDict>() {
            Ok(dict) => dict.get_item(name).ok()??,
            Err(_) => self.mapping.call_method1(intern!(py, "get"), (name,)).ok()?,
        };
        Text::of(value)
    }
}

/// Pairs of name and value, each text or bytes: those that hold fields of a context.
#[derive(Default)]
pub(crate) struct Pairs([Option<String>; Field::ALL.len()]);

impl Pairs {
    fn read(pairs: &Bound<'_, PyAny>) -> Self {
        let mut found = Self::default();
        each_pair(pairs, |pair| found.add(pair));
        found
    }

    #[inline]
    pub(crate) fn add(&mut self, pair: &Bound<'_, PyAny>) {
        // Most pairs are tuples of a name that is none of ours.
        let tuple = pair.cast::<PyTuple>().ok();
        let field = match tuple.map(|tuple| tuple.get_borrowed_item(0)) {
            Some(name) => name.ok().and_then(|name| field_of(&name)),
            None => pair.get_item(0).ok().and_then(|name| field_of(&name)),
        };
        let Some(field) = field else { return };
        let Some(text) = pair.get_item(1).ok().and_then(Text::of) else { return };
        let slot = &mut self.0[field as usize];
        match slot {
            Some(list) if field.is_list() => {
                list.push(',');
                list.push_str(text.as_ref());
            }
            _ => *slot = Some(text.as_ref().to_owned()),
        }
    }
}

/// Runs `work` with each of some pairs.
#[inline]
pub(crate) fn each_pair<'py>(pairs: &Bound<'py, PyAny>, mut work: impl FnMut(&Bound<'py, PyAny>)) {
    if let Ok(list) = pairs.cast::<PyList>() {
        list.iter().for_each(|pair| work(&pair));
    } else if let Ok(tuple) = pairs.cast::<PyTuple>() {
        tuple.iter().for_each(|pair| work(&pair));
    } else if let Ok(pairs) = pairs.try_iter() {
        pairs.flatten().for_each(|pair| work(&pair));
    }
}

/// The context in pairs that were read from `carrier`.
pub(crate) fn extract_read(carrier: &Bound<'_, PyAny>, pairs: &Pairs) -> Option<SpanContext> {
    if foreign(carrier.py()).is_some() {
        return extract(carrier, Naming::Header as u8);
    }
    received(agent().extract(pairs)?)
}

fn received(found: pitviper_agent::SpanContext) -> Option<SpanContext> {
    if found.baggage.is_some() {
        baggage::note();
    }
    Some(SpanContext(found))
}

#[inline]
fn field_of(name: &Bound<'_, PyAny>) -> Option<Field> {
    if let Ok(bytes) = name.cast::<PyBytes>() {
        return Field::of_header(bytes.as_bytes());
    }
    Field::of_header(name.cast::<PyString>().ok()?.to_str().ok()?.as_bytes())
}

impl Carrier for Pairs {
    type Text = String;

    fn get(&self, field: Field) -> Option<String> {
        self.0[field as usize].clone()
    }
}

/// Reads what another process handed over, in the formats of the settings; None when that is nothing.
///
/// `carrier` is a mapping, or pairs of names and values; `names` says how it writes names: 0 as headers, 1
/// as WSGI's environ, 2 as variables.
#[pyfunction]
#[pyo3(signature = (carrier, names = 0))]
pub(crate) fn extract(carrier: &Bound<'_, PyAny>, names: u8) -> Option<SpanContext> {
    shield(None, || {
        if carrier.is_none() {
            return None;
        }
        let py = carrier.py();
        let found = if let Some(foreign) = foreign(py) {
            let found = foreign.call_method1("extract", (carrier, names)).ok()?;
            found.cast::<SpanContext>().ok()?.get().0.clone()
        } else if carrier.is_instance_of::<PyList>() || carrier.is_instance_of::<PyTuple>() {
            agent().extract(&Pairs::read(carrier))?
        } else if carrier.is_instance_of::<PyDict>() || carrier.hasattr(intern!(py, "get")).unwrap_or(false) {
            agent().extract(&Mapping { mapping: carrier, names: self::names(py, Naming::of(names)) })?
        } else {
            agent().extract(&Pairs::read(carrier))?
        };
        received(found)
    })
}

/// Writes what another process is to know into a mapping, in the formats of the settings: of the current
/// span, or of `span`.
///
/// `names` is that of [`extract`]; with `replace` what was there of another context is taken out.
#[pyfunction]
#[pyo3(signature = (headers, span = None, names = 0, replace = false))]
pub(crate) fn inject_into(headers: &Bound<'_, PyAny>, span: Option<&Bound<'_, PyAny>>, names: u8, replace: bool) {
    let py = headers.py();
    shield_attached(py, (), || {
        if scope_contexts::keeps(py, span) {
            return;
        }
        if let Some(foreign) = foreign(py) {
            // The application's propagator may fail; the call goes out without.
            let _ = foreign.call_method1("inject", (headers, span, names, replace));
            return;
        }
        let names = self::names(py, Naming::of(names));
        if replace {
            for field in agent().injected_fields() {
                let name = names[field as usize].bind(py);
                if headers.contains(name).unwrap_or(false) {
                    let _ = headers.del_item(name);
                }
            }
        }
        if let Some(context) = baggage::context_to_pass_on(py, span) {
            write(headers, &context, names);
        }
    });
}

#[inline]
fn write(headers: &Bound<'_, PyAny>, context: &pitviper_agent::SpanContext, names: &[Py<PyString>]) {
    let py = headers.py();
    let dict = headers.cast_exact::<PyDict>().ok();
    agent().inject(context, |field, text| {
        let (name, text) = (names[field as usize].bind(py), PyString::new(py, text));
        // A mapping that refuses is the application's choice.
        let _ = match dict {
            Some(dict) => dict.set_item(name, text),
            None => headers.set_item(name, text),
        };
    });
}

/// [`extract`] for the propagator that OpenTelemetry's API gets, which may be a part of the application's.
#[pyfunction]
pub(crate) fn extract_natively(headers: &Bound<'_, PyAny>) -> Option<SpanContext> {
    shield(None, || {
        let names = names(headers.py(), Naming::Header);
        agent().extract(&Mapping { mapping: headers, names }).map(SpanContext)
    })
}

/// [`inject_into`] for the same: with the current span and baggage, or both given.
#[pyfunction]
#[pyo3(signature = (headers, span = None, baggage = None))]
pub(crate) fn inject_natively(
    headers: &Bound<'_, PyAny>,
    span: Option<&Bound<'_, PyAny>>,
    baggage: Option<&Bound<'_, PyAny>>,
) {
    shield((), || {
        let py = headers.py();
        let context = match (span, baggage) {
            (Some(span), Some(baggage)) => {
                let context = crate::span_context::context_of(span).unwrap_or_else(|| baggage::only(None));
                Some(pitviper_agent::SpanContext { baggage: baggage::of_mapping(py, baggage), ..context })
            }
            _ => baggage::context_to_pass_on(py, None),
        };
        if let Some(context) = context {
            write(headers, &context, names(py, Naming::Header));
        }
    });
}

/// The names of the headers that [`inject_into`] may write, or [`inject_natively`].
#[pyfunction]
#[pyo3(signature = (natively = false))]
pub(crate) fn injected_fields(py: Python<'_>, natively: bool) -> Vec<String> {
    if !natively && let Some(foreign) = foreign(py) {
        return foreign.getattr("fields").and_then(|fields| fields.extract()).unwrap_or_default();
    }
    agent().injected_fields().map(|field| field.name().to_owned()).collect()
}

/// The names of the headers that contexts may come in.
#[pyfunction]
pub(crate) fn context_fields() -> Vec<&'static str> {
    Field::ALL.iter().map(|field| field.name()).collect()
}

/// The propagator that the application chose, behind `extract(carrier, names)` and
/// `inject(headers, span, names, replace)`. The lock is held for no longer than a copy of the reference.
static FOREIGN: Mutex<Option<Py<PyAny>>> = Mutex::new(None);
static HAS_FOREIGN: AtomicBool = AtomicBool::new(false);

/// Has contexts read and written by a propagator of the application's, or, with None, natively again.
#[pyfunction]
#[pyo3(signature = (propagator))]
pub(crate) fn set_foreign_propagator(propagator: Option<Py<PyAny>>) {
    HAS_FOREIGN.store(propagator.is_some(), Ordering::Relaxed);
    let before = std::mem::replace(&mut *FOREIGN.lock().unwrap_or_else(PoisonError::into_inner), propagator);
    drop(before);
}

#[inline]
fn foreign(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    if !HAS_FOREIGN.load(Ordering::Relaxed) {
        return None;
    }
    let foreign = FOREIGN.lock().unwrap_or_else(PoisonError::into_inner);
    foreign.as_ref().map(|propagator| propagator.clone_ref(py).into_bound(py))
}

/// Makes a context of ids as a foreign propagator read them: a span context of OpenTelemetry's and its
/// baggage as a mapping.
#[pyfunction]
pub(crate) fn read_context(context: &Bound<'_, PyAny>, baggage: &Bound<'_, PyAny>) -> Option<SpanContext> {
    shield(None, || {
        let mut context = crate::span_context::context_of(context)?;
        context.is_remote = true;
        context.baggage = self::baggage::of_mapping(baggage.py(), baggage);
        let is_something = context.is_valid() || context.baggage.is_some();
        is_something.then_some(SpanContext(context))
    })
}

/// The text of one object, for names and values of baggage.
pub(crate) fn owned(value: &Bound<'_, PyAny>) -> String {
    convert::to_text(value).into_owned()
}
