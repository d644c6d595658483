//! The OneAgent SDK's functions for our own `oneagent` (`pitviper.compat.oneagent`), under the names that the
//! SDK for Python has for them. They are those of [`pitviper_onesdk::calls`]; texts are `str`, `bytes` of UTF-8 or
//! None, and a handle that is None stands for nothing.
#![expect(unsafe_code, reason = "warnings come through a C function")]

use std::ffi::{CStr, c_char};
use std::sync::Mutex;

use pitviper_model::Value;
use pitviper_onesdk::{AGENT_VERSION, INTERFACE_VERSION, MAX_LONG, MAX_SHORT, calls, state};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::shield::shield;

/// A text, cut to the SDK's lengths.
struct Text<const MAX: usize>(String);

type Short = Text<MAX_SHORT>;
type Long = Text<MAX_LONG>;

impl<'py, const MAX: usize> FromPyObject<'_, 'py> for Text<MAX> {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let text = if let Ok(text) = value.cast::<PyString>() {
            text.to_string_lossy().into_owned()
        } else if let Ok(bytes) = value.cast::<PyBytes>() {
            String::from_utf8_lossy(bytes.as_bytes()).into_owned()
        } else if value.is_none() {
            String::new()
        } else {
            let kind = value.get_type();
            return Err(PyTypeError::new_err(format!("a text is str, bytes or None, and not {kind}")));
        };
        let end = text.char_indices().nth(MAX).map_or(text.len(), |(end, _)| end);
        Ok(Self(if end < text.len() { text[..end].to_owned() } else { text }))
    }
}

/// A whole number of any size; of one that is too large the low bits count, as in C.
struct Whole(i64);

impl<'py> FromPyObject<'_, 'py> for Whole {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match value.extract::<i64>() {
            Ok(number) => Ok(Self(number)),
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(value.py()) => {
                Ok(Self(value.call_method1("__and__", (u64::MAX,))?.extract::<u64>()? as i64))
            }
            Err(error) => Err(error),
        }
    }
}

impl Whole {
    fn narrow(&self) -> i32 {
        self.0 as i32
    }
}

/// The first `count` pairs of two collections of any kind; of all keys by default.
fn pairs<T>(
    keys: &Bound<'_, PyAny>,
    values: &Bound<'_, PyAny>,
    count: Option<usize>,
    value: impl Fn(&Bound<'_, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<(String, T)>> {
    let mut found = Vec::new();
    for (key, item) in keys.try_iter()?.zip(values.try_iter()?).take(count.unwrap_or(usize::MAX)) {
        found.push((short(&key?)?, value(&item?)?));
    }
    Ok(found)
}

fn short(value: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(value.extract::<Short>()?.0)
}

fn of_text(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    short(value).map(Value::from)
}

fn of_whole(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    Ok(Value::Int(value.extract::<Whole>()?.0))
}

fn of_float(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    Ok(Value::Double(value.extract()?))
}

/// Who is told what a call did not do.
static TOLD: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

fn told() -> std::sync::MutexGuard<'static, Option<Py<PyAny>>> {
    TOLD.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Hands a warning to Python. What the application's function raises is shown and goes no further.
///
/// # Safety
///
/// The message is a C string.
unsafe extern "C" fn tell(message: *const c_char) {
    // SAFETY: the SDK passes a C string that lives until this function returns.
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    shield((), || {
        let _ = Python::try_attach(|py| {
            let Some(callback) = told().as_ref().map(|callback| callback.clone_ref(py)) else { return };
            if let Err(error) = callback.call1(py, (message,)) {
                error.write_unraisable(py, Some(callback.bind(py)));
            }
        });
    });
}

/// A handle, or none.
type Handle = Option<u64>;

fn of(handle: Handle) -> u64 {
    handle.unwrap_or_default()
}

/// The SDK's functions.
#[pyclass(frozen, module = "pitviper._native")]
pub(crate) struct OneSdk;

#[pymethods]
impl OneSdk {
    #[new]
    fn new() -> Self {
        Self
    }

    fn stub_is_sdk_cmdline_arg(&self, arg: Short) -> bool {
        state::is_argument(&arg.0)
    }

    fn stub_process_cmdline_arg(&self, arg: Short, replace: bool) -> i32 {
        shield(0, || state::set_from_argument(&arg.0, replace))
    }

    fn stub_set_variable(&self, assignment: Short, replace: bool) -> i32 {
        shield(0, || state::set_option(&assignment.0, replace))
    }

    fn stub_free_variables(&self) {
        shield((), state::free_options);
    }

    fn agent_get_version_string(&self) -> String {
        let [major, minor, patch] = INTERFACE_VERSION;
        format!("{}/{major}.{minor}.{patch}", AGENT_VERSION.to_string_lossy())
    }

    fn agent_found(&self) -> bool {
        true
    }

    fn agent_is_compatible(&self) -> bool {
        true
    }

    #[pyo3(signature = (init_flags = 0))]
    fn initialize(&self, init_flags: u32) -> i32 {
        shield(0, || state::initialize(init_flags))
    }

    fn shutdown(&self) -> i32 {
        shield(0, state::shutdown)
    }

    fn agent_get_current_state(&self) -> i32 {
        shield(-1, state::current_state)
    }

    fn agent_get_fork_state(&self) -> i32 {
        shield(-1, state::current_fork_state)
    }

    fn agent_set_warning_callback(&self, callback: Option<Py<PyAny>>) -> i32 {
        let is_wanted = callback.is_some();
        // What was set before may run code of the application when it goes.
        let before = std::mem::replace(&mut *told(), callback);
        drop(before);
        state::set_warning_callback(is_wanted.then_some(tell))
    }

    /// There is nothing to tell beside warnings.
    fn agent_set_verbose_callback(&self, callback: Option<Py<PyAny>>) -> i32 {
        drop(callback);
        state::code::SUCCESS
    }

    fn agent_get_logging_callback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        told().as_ref().map(|callback| callback.clone_ref(py))
    }

    fn strerror(&self, error_code: i32) -> &'static str {
        state::code::message(error_code)
    }

    fn webapplicationinfo_create(&self, vhost: Short, appid: Short, ctxroot: Short) -> u64 {
        calls::web_application(&vhost.0, &appid.0, &ctxroot.0)
    }

    fn webapplicationinfo_delete(&self, handle: Handle) {
        calls::delete_web_application(of(handle));
    }

    fn incomingwebrequesttracer_create(&self, wapp_h: Handle, uri: Long, http_method: Short) -> u64 {
        calls::incoming_web_request(of(wapp_h), &uri.0, &http_method.0)
    }

    fn incomingwebrequesttracer_add_request_headers(
        &self,
        tracer_h: Handle,
        keys: &Bound<'_, PyAny>,
        vals: &Bound<'_, PyAny>,
        count: Option<usize>,
    ) -> PyResult<()> {
        calls::add_incoming_request_headers(of(tracer_h), &pairs(keys, vals, count, short)?);
        Ok(())
    }

    fn incomingwebrequesttracer_add_request_header(&self, tracer_h: Handle, key: Short, val: Short) {
        calls::add_incoming_request_headers(of(tracer_h), &[(key.0, val.0)]);
    }

    fn incomingwebrequesttracer_add_response_headers(
        &self,
        tracer_h: Handle,
        keys: &Bound<'_, PyAny>,
        vals: &Bound<'_, PyAny>,
        count: Option<usize>,
    ) -> PyResult<()> {
        calls::add_incoming_response_headers(of(tracer_h), &pairs(keys, vals, count, short)?);
        Ok(())
    }

    fn incomingwebrequesttracer_add_response_header(&self, tracer_h: Handle, key: Short, val: Short) {
        calls::add_incoming_response_headers(of(tracer_h), &[(key.0, val.0)]);
    }

    fn incomingwebrequesttracer_add_parameters(
        &self,
        tracer_h: Handle,
        keys: &Bound<'_, PyAny>,
        vals: &Bound<'_, PyAny>,
        count: Option<usize>,
    ) -> PyResult<()> {
        calls::add_parameters(of(tracer_h), &pairs(keys, vals, count, short)?);
        Ok(())
    }

    fn incomingwebrequesttracer_add_parameter(&self, tracer_h: Handle, key: Short, val: Short) {
        calls::add_parameters(of(tracer_h), &[(key.0, val.0)]);
    }

    fn incomingwebrequesttracer_set_remote_address(&self, tracer_h: Handle, addr: Short) {
        calls::set_remote_address(of(tracer_h), &addr.0);
    }

    fn incomingwebrequesttracer_set_status_code(&self, tracer_h: Handle, code: Whole) {
        calls::set_incoming_status(of(tracer_h), code.narrow());
    }

    fn outgoingwebrequesttracer_create(&self, uri: Long, http_method: Short) -> u64 {
        calls::outgoing_web_request(&uri.0, &http_method.0)
    }

    fn outgoingwebrequesttracer_add_request_headers(
        &self,
        tracer_h: Handle,
        keys: &Bound<'_, PyAny>,
        vals: &Bound<'_, PyAny>,
        count: Option<usize>,
    ) -> PyResult<()> {
        calls::add_outgoing_request_headers(of(tracer_h), &pairs(keys, vals, count, short)?);
        Ok(())
    }

    fn outgoingwebrequesttracer_add_request_header(&self, tracer_h: Handle, key: Short, val: Short) {
        calls::add_outgoing_request_headers(of(tracer_h), &[(key.0, val.0)]);
    }

    fn outgoingwebrequesttracer_add_response_headers(
        &self,
        tracer_h: Handle,
        keys: &Bound<'_, PyAny>,
        vals: &Bound<'_, PyAny>,
        count: Option<usize>,
    ) -> PyResult<()> {
        calls::add_outgoing_response_headers(of(tracer_h), &pairs(keys, vals, count, short)?);
        Ok(())
    }

    fn outgoingwebrequesttracer_add_response_header(&self, tracer_h: Handle, key: Short, val: Short) {
        calls::add_outgoing_response_headers(of(tracer_h), &[(key.0, val.0)]);
    }

    fn outgoingwebrequesttracer_set_status_code(&self, tracer_h: Handle, code: Whole) {
        calls::set_outgoing_status(of(tracer_h), code.narrow());
    }

    fn databaseinfo_create(&self, dbname: Short, dbvendor: Short, chan_ty: Whole, chan_ep: Short) -> u64 {
        calls::database(&dbname.0, &dbvendor.0, (chan_ty.narrow(), &chan_ep.0))
    }

    fn databaseinfo_delete(&self, dbh: Handle) {
        calls::delete_database(of(dbh));
    }

    fn databaserequesttracer_create_sql(&self, dbh: Handle, sql: Long) -> u64 {
        calls::sql_request(of(dbh), &sql.0)
    }

    fn databaserequesttracer_set_returned_row_count(&self, tracer_h: Handle, count: Whole) {
        calls::set_row_count(of(tracer_h), count.narrow());
    }

    fn databaserequesttracer_set_round_trip_count(&self, tracer_h: Handle, count: Whole) {
        calls::set_round_trip_count(of(tracer_h), count.narrow());
    }

    fn outgoingremotecalltracer_create(
        &self,
        svc_method: Short,
        svc_name: Short,
        svc_endpoint: Short,
        chan_ty: Whole,
        chan_ep: Short,
    ) -> u64 {
        calls::outgoing_remote_call(&svc_method.0, &svc_name.0, &svc_endpoint.0, (chan_ty.narrow(), &chan_ep.0))
    }

    fn outgoingremotecalltracer_set_protocol_name(&self, tracer_h: Handle, protocol_name: Short) {
        calls::set_outgoing_protocol(of(tracer_h), &protocol_name.0);
    }

    fn incomingremotecalltracer_create(&self, svc_method: Short, svc_name: Short, svc_endpoint: Short) -> u64 {
        calls::incoming_remote_call(&svc_method.0, &svc_name.0, &svc_endpoint.0)
    }

    fn incomingremotecalltracer_set_protocol_name(&self, tracer_h: Handle, protocol_name: Short) {
        calls::set_incoming_protocol(of(tracer_h), &protocol_name.0);
    }

    fn tracer_start(&self, tracer_h: Handle) {
        shield((), || calls::start(of(tracer_h)));
    }

    fn tracer_end(&self, tracer_h: Handle) {
        shield((), || calls::end(of(tracer_h)));
    }

    fn tracer_error(&self, tracer_h: Handle, error_class: Short, error_message: Short) {
        calls::fail(of(tracer_h), &error_class.0, &error_message.0);
    }

    /// The tag, in bytes of either kind; empty where there is none.
    #[pyo3(signature = (tracer_h, use_byte_tag = false))]
    fn tracer_get_outgoing_tag<'py>(
        &self,
        py: Python<'py>,
        tracer_h: Handle,
        use_byte_tag: bool,
    ) -> Bound<'py, PyBytes> {
        // Both kinds are the same bytes.
        let _ = use_byte_tag;
        PyBytes::new(py, calls::outgoing_tag(of(tracer_h)).unwrap_or_default().as_bytes())
    }

    fn tracer_set_incoming_string_tag(&self, tracer_h: Handle, tag: Long) {
        calls::set_incoming_tag(of(tracer_h), &tag.0);
    }

    fn tracer_set_incoming_byte_tag(&self, tracer_h: Handle, tag: &[u8]) {
        calls::set_incoming_tag(of(tracer_h), std::str::from_utf8(tag).unwrap_or_default());
    }

    fn customrequestattribute_add_integers(
        &self,
        keys: &Bound<'_, PyAny>,
        values: &Bound<'_, PyAny>,
        count: Option<usize>,
    ) -> PyResult<()> {
        calls::add_custom_attributes(pairs(keys, values, count, of_whole)?);
        Ok(())
    }

    fn customrequestattribute_add_integer(&self, key: Short, value: Whole) {
        calls::add_custom_attributes(vec![(key.0, Value::Int(value.0))]);
    }

    fn customrequestattribute_add_floats(
        &self,
        keys: &Bound<'_, PyAny>,
        values: &Bound<'_, PyAny>,
        count: Option<usize>,
    ) -> PyResult<()> {
        calls::add_custom_attributes(pairs(keys, values, count, of_float)?);
        Ok(())
    }

    fn customrequestattribute_add_float(&self, key: Short, value: f64) {
        calls::add_custom_attributes(vec![(key.0, Value::Double(value))]);
    }

    fn customrequestattribute_add_strings(
        &self,
        keys: &Bound<'_, PyAny>,
        values: &Bound<'_, PyAny>,
        count: Option<usize>,
    ) -> PyResult<()> {
        calls::add_custom_attributes(pairs(keys, values, count, of_text)?);
        Ok(())
    }

    fn customrequestattribute_add_string(&self, key: Short, value: Short) {
        calls::add_custom_attributes(vec![(key.0, Value::from(value.0))]);
    }

    fn trace_in_process_link(&self, link_bytes: &[u8]) -> u64 {
        calls::in_process_link_tracer(link_bytes)
    }

    fn create_in_process_link<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &calls::create_in_process_link())
    }

    fn messagingsysteminfo_create(
        &self,
        vendor_name: Short,
        destination_name: Short,
        destination_type: Whole,
        channel_type: Whole,
        channel_endpoint: Short,
    ) -> u64 {
        calls::messaging_system(
            &vendor_name.0,
            &destination_name.0,
            destination_type.narrow(),
            (channel_type.narrow(), &channel_endpoint.0),
        )
    }

    fn messagingsysteminfo_delete(&self, handle: Handle) {
        calls::delete_messaging_system(of(handle));
    }

    fn outgoingmessagetracer_create(&self, handle: Handle) -> u64 {
        calls::outgoing_message(of(handle))
    }

    fn outgoingmessagetracer_set_vendor_message_id(&self, tracer_h: Handle, message_id: Short) {
        calls::set_sent_message_id(of(tracer_h), &message_id.0);
    }

    fn outgoingmessagetracer_set_correlation_id(&self, tracer_h: Handle, correlation_id: Short) {
        calls::set_sent_correlation_id(of(tracer_h), &correlation_id.0);
    }

    fn incomingmessagereceivetracer_create(&self, handle: Handle) -> u64 {
        calls::incoming_message_receive(of(handle))
    }

    fn incomingmessageprocesstracer_create(&self, handle: Handle) -> u64 {
        calls::incoming_message_process(of(handle))
    }

    fn incomingmessageprocesstracer_set_vendor_message_id(&self, tracer_h: Handle, message_id: Short) {
        calls::set_processed_message_id(of(tracer_h), &message_id.0);
    }

    fn incomingmessageprocesstracer_set_correlation_id(&self, tracer_h: Handle, correlation_id: Short) {
        calls::set_processed_correlation_id(of(tracer_h), &correlation_id.0);
    }

    fn customservicetracer_create(&self, service_method: Short, service_name: Short) -> u64 {
        calls::custom_service(&service_method.0, &service_name.0)
    }

    /// A code, and the ids of what is current as text.
    fn tracecontext_get_current(&self) -> (i32, String, String) {
        let (code, trace_id, span_id) = calls::current_trace();
        (code, trace_id.to_string(), span_id.to_string())
    }
}
