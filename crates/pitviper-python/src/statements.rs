//! `Statements`, as Python sees it: the spans of one database's statements.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use pitviper_agent::Scalar;
use pitviper_agent::sql::{self, Dialect};
use pitviper_model::SpanKind;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyString};

use crate::runtime::agent;
use crate::shield::shield;
use crate::start::Leaf;
use crate::{convert, pipeline};

/// Makes the spans of the statements that go to one database.
#[pyclass(frozen, module = "pitviper._native")]
pub(crate) struct Statements(sql::Statements);

#[pymethods]
impl Statements {
    /// Args: the scope of the spans, the database's `db.system.name`, and the attributes that all its
    /// spans have beside that.
    #[new]
    #[pyo3(signature = (scope, system, attributes = None))]
    fn new(scope: &str, system: &str, attributes: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let dialect = dialect(system)?;
        let mut all = pitviper_model::Attributes::default();
        all.set("db.system.name", system.to_owned());
        for (key, value) in convert::to_attributes(attributes).0 {
            all.set(key, value);
        }
        Ok(Self(sql::Statements::new(dialect, agent().scope(scope), all)))
    }

    /// Records a finished child of the current span: a statement that was sent at `start_time` and is
    /// answered now. `batch` is how often it was sent, `status` the database's code for an error.
    #[pyo3(signature = (statement, start_time, exc = None, batch = 0, status = None))]
    fn finish(
        &self,
        py: Python<'_>,
        statement: &Bound<'_, PyAny>,
        start_time: u64,
        exc: Option<&Bound<'_, PyAny>>,
        batch: u64,
        status: Option<&Bound<'_, PyAny>>,
    ) {
        shield((), || {
            let (text, hash) = text_of(statement);
            // Only a sampler of the application's would ask for the name before the span is recorded.
            let name = if pipeline::is_own() {
                PyString::new(py, &self.0.describe(&text, hash).summary)
            } else {
                PyString::new(py, "")
            };
            let leaf = Leaf {
                name: name.as_any(),
                kind: SpanKind::Client,
                start_time,
                scope: self.0.scope(),
                attributes: None,
                exc,
            };
            leaf.record(py, |span| {
                self.0.fill(span, &text, hash, batch);
                let failed = exc.is_some_and(|exc| !exc.is_none());
                if let Some(status) = status.filter(|status| failed && !status.is_none()) {
                    span.set_attribute("db.response.status_code", Scalar::Str(&convert::to_text(status)));
                }
            });
        });
    }

    /// How many descriptions of statements were dropped to make space for others.
    #[getter]
    fn forgotten(&self) -> u64 {
        self.0.forgotten()
    }
}

/// Describes a statement: its text with literals replaced by `?`, a summary such as `SELECT post`, and
/// its operation such as `SELECT`.
#[pyfunction]
pub(crate) fn describe_statement(statement: &Bound<'_, PyAny>, system: &str) -> PyResult<(String, String, String)> {
    let dialect = dialect(system)?;
    let described = sql::describe(&text_of(statement).0, dialect);
    Ok((described.text, described.summary, described.operation))
}

fn dialect(system: &str) -> PyResult<Dialect> {
    Dialect::of(system)
        .ok_or_else(|| PyValueError::new_err(format!("{system} has no SQL; use postgresql, mysql, mariadb or sqlite")))
}

/// The text of a statement, and a hash of it; Python keeps that of a text that is sent again.
fn text_of<'a>(statement: &'a Bound<'_, PyAny>) -> (Cow<'a, str>, u64) {
    let text = convert::to_text(statement);
    if let Ok(statement) = statement.cast_exact::<PyString>()
        && let Ok(hash) = statement.hash()
    {
        return (text, hash.cast_unsigned() as u64);
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let hash = hasher.finish();
    (text, hash)
}
