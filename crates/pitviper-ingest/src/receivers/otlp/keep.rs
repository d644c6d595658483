//! The last step of every request: keeping what was decoded, whether or not its sender still waits.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use pitviper_wire::decode::Telemetry;

use super::refusal::Refusal;
use crate::accept::{Accepted, Ingest};
use crate::accounting::{OpenRequest, Transport};
use crate::limits::Share;

/// Keeps a decoded request and counts its outcome.
pub(super) async fn keep(
    ingest: Arc<Ingest>,
    open: OpenRequest,
    transport: Transport,
    (decoded, share): (Telemetry, Share),
) -> Result<Accepted, Refusal> {
    // On its own task: a client that hangs up must not undo what is half written.
    let kept = tokio::spawn(async move {
        let accepting = AssertUnwindSafe(ingest.accept(transport, decoded));
        let answer = match accepting.catch_unwind().await {
            Ok(answer) => answer.map_err(Refusal::from),
            Err(panic) => {
                ingest.panics().report("accept", &*panic);
                Err(Refusal::internal_error())
            }
        };
        // Until here the request holds its memory.
        drop(share);
        match &answer {
            Ok(_) => open.accepted(),
            Err(refusal) => open.refused(refusal.reason),
        }
        answer
    });
    // What fails here is not the work but the runtime, which is ending.
    kept.await.unwrap_or_else(|_| Err(Refusal::internal_error()))
}
