//! The last step of every request: keeping what was decoded, whether or not its sender still waits.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;

use super::refusal::Refusal;
use crate::accept::{Ingest, IngestError};
use crate::accounting::OpenRequest;
use crate::limits::Share;

/// Keeps a decoded request, as `accept` does it, and counts its outcome.
pub(super) async fn keep<T, F>(
    ingest: Arc<Ingest>,
    open: OpenRequest,
    share: Share,
    accept: impl FnOnce(Arc<Ingest>) -> F,
) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = Result<T, IngestError>> + Send + 'static,
{
    let accepting = accept(Arc::clone(&ingest));
    // On its own task: a client that hangs up must not undo what is half written.
    let kept = tokio::spawn(async move {
        let answer = match AssertUnwindSafe(accepting).catch_unwind().await {
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
