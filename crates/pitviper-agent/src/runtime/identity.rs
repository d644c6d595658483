//! Which process this is.

use std::fmt::Write as _;

use pitviper_model::{Attributes, Value};

use crate::id;

/// What changes in a forked child.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    /// `service.instance.id`, drawn when it is first needed: most children of a fork become other programs.
    id: Option<String>,
    /// The server this process is a worker of, and the worker's number or name.
    pub(crate) worker: Option<(String, String)>,
}

impl Identity {
    /// Sets the attributes of the resource that say it.
    pub(crate) fn describe(&mut self, attributes: &mut Attributes) {
        attributes.set("service.instance.id", self.id.get_or_insert_with(new_instance_id).clone());
        attributes.set("process.pid", Value::Int(i64::from(std::process::id())));
        #[cfg(unix)]
        attributes.set("process.parent_pid", Value::Int(i64::from(std::os::unix::process::parent_id())));
        if let Some((kind, name)) = &self.worker {
            attributes.set("pitviper.worker.kind", kind.clone());
            attributes.set("pitviper.worker.name", name.clone());
        }
    }
}

/// A random UUID (version 4), as `service.instance.id` asks for.
fn new_instance_id() -> String {
    let mut bits = u128::from(id::random_u64()) << 64 | u128::from(id::random_u64());
    bits = bits & !(0xf << 76) | 0x4 << 76;
    bits = bits & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let mut out = String::with_capacity(36);
    for (index, range) in [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().enumerate() {
        let dash = if index > 0 { "-" } else { "" };
        let _ = write!(out, "{dash}{}", &hex[range]);
    }
    out
}
