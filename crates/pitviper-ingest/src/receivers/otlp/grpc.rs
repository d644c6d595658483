//! OTLP over gRPC.

use std::sync::Arc;
use std::time::Duration;

use pitviper_wire::decode::request_to_model;
use pitviper_wire::decode::trace_service::trace_service_server::{TraceService, TraceServiceServer};
use pitviper_wire::decode::trace_service::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::MAX_DECOMPRESSED_BYTES;
use crate::accept::{Ingest, IngestError};
use crate::accounting::Transport;

/// The gRPC service, to be added to a tonic server.
pub fn grpc(ingest: Arc<Ingest>) -> TraceServiceServer<impl TraceService> {
    TraceServiceServer::new(Receiver { ingest })
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(MAX_DECOMPRESSED_BYTES)
}

struct Receiver {
    ingest: Arc<Ingest>,
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let batch = request_to_model(request.into_inner());
        // On its own task: a client that hangs up must not undo what is half written.
        let ingest = Arc::clone(&self.ingest);
        let kept = tokio::spawn(async move { ingest.accept(Transport::OtlpGrpc, batch).await });
        let accepted = kept.await.map_err(|_| Status::internal("the request could not be processed"))?;
        let accepted = accepted.map_err(|error| status(&error))?;
        let partial_success = (accepted.rejected > 0).then_some(ExportTracePartialSuccess {
            rejected_spans: accepted.rejected as i64,
            error_message: accepted.message,
        });
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

fn status(error: &IngestError) -> Status {
    let IngestError::TryAgain { message, retry_after_ms, overloaded } = error;
    let code = if *overloaded { Code::ResourceExhausted } else { Code::Unavailable };
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(*retry_after_ms)));
    Status::with_error_details(code, message, details)
}
