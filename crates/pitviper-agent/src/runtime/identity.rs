//! Which process this is.

use pitviper_model::{Attributes, Value};

/// What changes in a forked child.
#[derive(Debug)]
pub(crate) struct Identity {
    /// `service.instance.id`.
    id: String,
    /// The server this process is a worker of, and the worker's number or name.
    pub(crate) worker: Option<(String, String)>,
}

impl Identity {
    pub(crate) fn new(id: String) -> Self {
        Self { id, worker: None }
    }

    /// Sets the attributes of the resource that say it.
    pub(crate) fn describe(&self, attributes: &mut Attributes) {
        attributes.set("service.instance.id", self.id.clone());
        attributes.set("process.pid", Value::Int(i64::from(std::process::id())));
        #[cfg(unix)]
        attributes.set("process.parent_pid", Value::Int(i64::from(std::os::unix::process::parent_id())));
        if let Some((kind, name)) = &self.worker {
            attributes.set("pitviper.worker.kind", kind.clone());
            attributes.set("pitviper.worker.name", name.clone());
        }
    }
}
