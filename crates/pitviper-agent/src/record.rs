//! What a span holds, in memory that a thread uses again.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use pitviper_model::{SpanId, SpanKind, StatusCode};
use pitviper_wire::encode::SpanEncoder;

use crate::config::Limits;
use crate::propagation::SpanContext;

/// Records a thread keeps for reuse.
const MAX_POOLED: usize = 32;
/// Most memory of a record that is kept for reuse, in bytes.
const MAX_POOLED_BYTES: usize = 16 * 1024;

thread_local! {
    // Boxed, so that a span moves a pointer and not what it holds.
    #[expect(clippy::vec_box, reason = "the boxes are what is reused")]
    static POOL: RefCell<Vec<Box<Record>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) context: SpanContext,
    pub(crate) parent_span_id: SpanId,
    pub(crate) parent_is_remote: bool,
    pub(crate) parent_flags: u8,
    pub(crate) kind: SpanKind,
    /// Empty when it is not recorded.
    pub(crate) name: String,
    pub(crate) scope: u16,
    pub(crate) start_time_unix_nano: u64,
    /// Reading of the monotonic clock at the start; `None` when the caller gave the start time.
    pub(crate) started: Option<Instant>,
    pub(crate) status: StatusCode,
    pub(crate) status_message: String,
    /// When it ended; zero while it runs.
    pub(crate) end_time_unix_nano: u64,
    pub(crate) encoder: SpanEncoder,
    /// It is recorded, and can still be read after its end.
    pub(crate) recorded: bool,
    /// It is recorded and has not ended.
    pub(crate) recording: bool,
    /// Whether it goes to the exporter when it ends.
    pub(crate) exported: bool,
    /// Its name is known as that of a local root, see [`Agent::endpoints`](crate::Agent::endpoints).
    pub(crate) names_endpoint: bool,
    /// Bounds that hold instead of the agent's.
    pub(crate) limits: Option<Box<Limits>>,
    /// The service that it is part of; `None` for the process's own.
    pub(crate) service: Option<Arc<str>>,
    /// The process it was started in. A forked child has a copy, and only the parent may send it.
    pub(crate) generation: u64,
}

impl Record {
    /// Forgets what takes memory or belongs to others. What else there is, the next span sets.
    #[inline]
    fn clear(&mut self) {
        self.context.trace_state = None;
        self.context.baggage = None;
        self.name.clear();
        self.status_message.clear();
        self.encoder.clear();
        self.limits = None;
        self.service = None;
    }

    /// Memory kept, in bytes.
    #[inline]
    fn capacity(&self) -> usize {
        self.name.capacity() + self.status_message.capacity() + self.encoder.capacity()
    }
}

/// A record that goes back to the pool of the thread that drops it.
#[derive(Debug)]
pub(crate) struct Pooled(Option<Box<Record>>);

impl Pooled {
    /// A record without a name, a message or attributes; the rest is that of any span before.
    #[inline]
    pub(crate) fn take() -> Self {
        Self(Some(POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten().unwrap_or_default()))
    }
}

impl Deref for Pooled {
    type Target = Record;

    #[inline]
    fn deref(&self) -> &Record {
        self.0.as_deref().expect("the record is there until it is dropped")
    }
}

impl DerefMut for Pooled {
    #[inline]
    fn deref_mut(&mut self) -> &mut Record {
        self.0.as_deref_mut().expect("the record is there until it is dropped")
    }
}

impl Drop for Pooled {
    #[inline]
    fn drop(&mut self) {
        let Some(mut record) = self.0.take() else { return };
        if record.capacity() <= MAX_POOLED_BYTES {
            record.clear();
            // The pool is gone while its thread ends; the record is then simply freed.
            let _ = POOL.try_with(|pool| {
                let mut pool = pool.borrow_mut();
                if pool.len() < MAX_POOLED {
                    pool.push(record);
                }
            });
        }
    }
}
