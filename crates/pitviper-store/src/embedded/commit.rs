//! The committer: one thread that writes all waiting requests to the log as one group.
//!
//! While a group is being synced the next requests queue up and become the next group, so the
//! number of syncs follows the disk's speed and not the number of clients, and a lone client never
//! waits for company.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::hot::{Reservation, Tiers};
use super::stages::Stages;
use super::wal::Wal;
use crate::schema::WriteBatch;
use crate::store::{Ack, StoreError};

/// Most bytes of a group, so that the first in it does not wait long for the last.
const GROUP_BYTES_LIMIT: usize = 1 << 20;

/// A write on its way to the log.
pub(super) struct Request {
    pub(super) body: Vec<u8>,
    pub(super) rows: WriteBatch,
    pub(super) reservation: Reservation,
    pub(super) ack: oneshot::Sender<Result<Ack, StoreError>>,
    pub(super) queued: Instant,
}

/// Takes writes until it is dropped.
#[derive(Debug)]
pub(super) struct Committer {
    requests: Option<Sender<Request>>,
    stages: Arc<Stages>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(
        wal: Arc<Mutex<Wal>>,
        tiers: Arc<Tiers>,
        durable_sequence: Arc<AtomicU64>,
        stages: Arc<Stages>,
    ) -> std::io::Result<Self> {
        let (requests, received) = channel();
        let own = Arc::clone(&stages);
        let thread = std::thread::Builder::new()
            .name("pitviper-wal".to_owned())
            .spawn(move || while commit_group(&received, &wal, &tiers, &durable_sequence, &own) {})?;
        Ok(Self { requests: Some(requests), stages, thread: Some(thread) })
    }

    /// Queues a write. Its memory is reserved, so the queue is bounded by the hot tier's budget.
    pub(super) fn submit(&self, request: Request) -> Result<(), StoreError> {
        let requests = self.requests.as_ref().ok_or(StoreError::Closed)?;
        self.stages.wait();
        requests.send(request).map_err(|_| {
            self.stages.commit_waiting.fetch_sub(1, Ordering::Relaxed);
            StoreError::Closed
        })
    }

    /// Lets what is queued be written, then ends the thread.
    pub(super) fn stop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log's thread ended with a panic");
        }
    }
}

/// Waits for requests, writes them and answers them. False when no more can come.
fn commit_group(
    received: &Receiver<Request>,
    wal: &Mutex<Wal>,
    tiers: &Tiers,
    durable_sequence: &AtomicU64,
    stages: &Stages,
) -> bool {
    let Ok(first) = received.recv() else { return false };
    let mut bytes = first.body.len();
    let mut group = vec![first];
    while bytes < GROUP_BYTES_LIMIT
        && let Ok(next) = received.try_recv()
    {
        bytes += next.body.len();
        group.push(next);
    }
    stages.commit_waiting.fetch_sub(group.len() as u64, Ordering::Relaxed);
    group.iter().for_each(|request| stages.commit_wait.record_since(request.queued));
    let began = Instant::now();
    let written = wal.lock().write_group(group.iter().map(|request| request.body.as_slice()));
    stages.log_sync.record_since(began);
    match written {
        Ok(first_sequence) => {
            for (sequence, request) in (first_sequence..).zip(group) {
                tiers.push(sequence, request.rows, request.reservation);
                durable_sequence.store(sequence, Ordering::Release);
                // A client that went away does not need the answer; its write stays.
                let _ = request.ack.send(Ok(Ack { sequence }));
            }
            tiers.merge_small();
        }
        Err(error) => {
            for request in group {
                let _ = request.ack.send(Err(repeat_error(&error)));
            }
        }
    }
    true
}

/// The same error for each request of the group.
fn repeat_error(error: &StoreError) -> StoreError {
    match error {
        StoreError::Busy { budget, retry_after_ms } => StoreError::Busy { budget, retry_after_ms: *retry_after_ms },
        StoreError::Io { context, source } => {
            let source = match source.raw_os_error() {
                Some(code) => std::io::Error::from_raw_os_error(code),
                None => std::io::Error::from(source.kind()),
            };
            StoreError::Io { context: context.clone(), source }
        }
        other => StoreError::Engine(other.to_string()),
    }
}
