//! What samples of every kind say of themselves: whose they are.

use std::collections::HashMap;
use std::sync::OnceLock;

use pitviper_pprof::{Label, LabelValue};
use rustc_hash::FxHashMap;

use crate::options::Endpoints;
use crate::spans::SpanIds;

/// Who knows what requests are called; set once.
static ENDPOINTS: OnceLock<&'static dyn Endpoints> = OnceLock::new();

/// Says who knows what requests are called. The first call counts.
pub(crate) fn name_endpoints(endpoints: &'static dyn Endpoints) {
    let _ = ENDPOINTS.set(endpoints);
}

/// A sample is of this request, whose name will be asked for.
pub(crate) fn note_root(root: [u8; 8]) {
    if let Some(endpoints) = ENDPOINTS.get().filter(|_| root != [0; 8]) {
        endpoints.note(root);
    }
}

/// A thread, by what the C library and the kernel call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ThreadId {
    /// What `threading.get_ident()` says there.
    pub(crate) ident: usize,
    pub(crate) native: i32,
}

/// The names that the samples of one window are told with.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    threads: FxHashMap<ThreadId, String>,
    by_ident: HashMap<u64, String>,
    endpoints: FxHashMap<[u8; 8], String>,
}

impl Labels {
    /// The names of threads that were sampled, and of those that there are by their identity; those of requests
    /// are asked for, so this is to be made once a window.
    pub(crate) fn new(threads: FxHashMap<ThreadId, String>, by_ident: HashMap<u64, String>) -> Self {
        let endpoints = ENDPOINTS.get().map(|endpoints| endpoints.take()).unwrap_or_default();
        Self { threads, by_ident, endpoints: endpoints.into_iter().collect() }
    }

    /// The labels of a sample of this thread and this span.
    pub(crate) fn of(&self, thread: ThreadId, span: &SpanIds) -> Vec<Label> {
        let known = self.threads.get(&thread).or_else(|| self.by_ident.get(&(thread.ident as u64)));
        let name = known.cloned().unwrap_or_else(|| unnamed(thread.native));
        let mut labels = Vec::with_capacity(7);
        labels.push(text("thread", name));
        labels.push(Label { name: "thread id".into(), value: LabelValue::Number(i64::from(thread.native)) });
        if *span != SpanIds::default() {
            labels.push(text("trace id", hex(&span.trace)));
            labels.push(text("span id", hex(&span.span)));
        }
        if span.root != [0; 8] {
            labels.push(text("local root span id", hex(&span.root)));
            if let Some(endpoint) = self.endpoints.get(&span.root) {
                labels.push(text("endpoint", endpoint.clone()));
            }
        }
        labels
    }
}

/// What follows the name of a thread where samples are of tasks that wait for it: their time is not the thread's,
/// of which there would be more than passed.
const WAITING: &str = " (waiting tasks)";

/// Says that a sample is of a task that does not run.
pub(crate) fn set_apart(labels: &mut [Label]) {
    if let Some(LabelValue::Text(thread)) = labels.first_mut().map(|label| &mut label.value) {
        thread.push_str(WAITING);
    }
}

/// A label with a text.
pub(crate) fn text(name: &'static str, value: String) -> Label {
    Label { name: name.into(), value: LabelValue::Text(value) }
}

/// What a thread is called that `threading` does not know, such as any where nobody has imported it.
fn unnamed(native: i32) -> String {
    // The kernel's number of a process is that of its first thread.
    if u32::try_from(native) == Ok(std::process::id()) { "MainThread".to_owned() } else { format!("thread {native}") }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
