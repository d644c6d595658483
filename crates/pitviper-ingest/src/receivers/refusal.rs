//! A request that is not taken, and how each protocol says so.
//!
//! Source: OTLP specification, "OTLP/HTTP Response" and "OTLP/gRPC Response". A sender tries again
//! after 429, 502, 503 and 504, and after codes such as `UNAVAILABLE`, but after
//! `RESOURCE_EXHAUSTED` only when the status says when.

use http::StatusCode;
use pitviper_wire::decode::datadog::TracesError;
use pitviper_wire::decode::{DecodeError, DecompressError, ForeignError, ProfilesError, RoomError};
use tonic::Code;

use crate::accept::{IngestError, RETRY_AFTER_MS};
use crate::accounting::RefusalReason;

/// How long a sender should wait when other requests leave no room, in milliseconds. They are
/// through within moments.
const OVERLOAD_RETRY_MS: u64 = 1_000;

/// What the sender is told, and why the request is counted.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: RefusalReason,
    pub(super) message: String,
    /// When the same request may succeed, in milliseconds; none when it never will.
    pub(super) retry_after_ms: Option<u64>,
}

impl Refusal {
    /// The request is at fault; it should not be sent again.
    pub(super) fn new(reason: RefusalReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry_after_ms: None }
    }

    /// Other requests leave no room for this one.
    pub(super) fn overloaded() -> Self {
        let message = "too many bytes are under way, try again".to_owned();
        Self { reason: RefusalReason::Overloaded, message, retry_after_ms: Some(OVERLOAD_RETRY_MS) }
    }

    /// A defect of ours; the request may be fine.
    pub(super) fn internal_error() -> Self {
        let message = "the server could not process the request, try again".to_owned();
        Self { reason: RefusalReason::InternalError, message, retry_after_ms: Some(RETRY_AFTER_MS) }
    }

    pub(super) fn http_status(&self) -> StatusCode {
        match self.reason {
            RefusalReason::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            RefusalReason::UnsupportedMediaType | RefusalReason::UnsupportedEncoding => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            RefusalReason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            RefusalReason::BadEncoding
            | RefusalReason::BadFraming
            | RefusalReason::BadProtobuf
            | RefusalReason::BadJson
            | RefusalReason::BadMsgpack
            | RefusalReason::BadThrift
            | RefusalReason::BadProfile
            | RefusalReason::Incomplete => StatusCode::BAD_REQUEST,
            RefusalReason::UnknownPath => StatusCode::NOT_FOUND,
            RefusalReason::Timeout => StatusCode::REQUEST_TIMEOUT,
            RefusalReason::Overloaded | RefusalReason::StoreBusy => StatusCode::TOO_MANY_REQUESTS,
            // Not 500, after which senders throw the batch away.
            RefusalReason::StoreUnavailable | RefusalReason::InternalError => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn grpc_code(&self) -> Code {
        match self.reason {
            // What the gRPC specification asks for, as far as it does.
            RefusalReason::MethodNotAllowed | RefusalReason::UnsupportedEncoding | RefusalReason::UnknownPath => {
                Code::Unimplemented
            }
            RefusalReason::BadFraming => Code::Internal,
            RefusalReason::TooLarge | RefusalReason::Overloaded | RefusalReason::StoreBusy => Code::ResourceExhausted,
            RefusalReason::Timeout => Code::DeadlineExceeded,
            RefusalReason::StoreUnavailable | RefusalReason::InternalError => Code::Unavailable,
            RefusalReason::UnsupportedMediaType
            | RefusalReason::BadEncoding
            | RefusalReason::BadProtobuf
            | RefusalReason::BadJson
            | RefusalReason::BadMsgpack
            | RefusalReason::BadThrift
            | RefusalReason::BadProfile
            | RefusalReason::Incomplete => Code::InvalidArgument,
        }
    }
}

impl From<DecompressError> for Refusal {
    fn from(error: DecompressError) -> Self {
        match error {
            DecompressError::Malformed(_) => Self::new(RefusalReason::BadEncoding, error.to_string()),
            DecompressError::TooLarge { .. } => Self::new(RefusalReason::TooLarge, error.to_string()),
            DecompressError::NoRoom => Self::overloaded(),
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let reason = match error {
            DecodeError::Protobuf(_) => RefusalReason::BadProtobuf,
            DecodeError::Json(_) => RefusalReason::BadJson,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<ProfilesError> for Refusal {
    fn from(error: ProfilesError) -> Self {
        match error {
            ProfilesError::Json(_) => Self::new(RefusalReason::BadJson, error.to_string()),
            ProfilesError::Room(error) => Self::from(error),
        }
    }
}

impl From<TracesError> for Refusal {
    fn from(error: TracesError) -> Self {
        match error {
            TracesError::Msgpack(_) | TracesError::Fields { .. } => {
                Self::new(RefusalReason::BadMsgpack, error.to_string())
            }
            TracesError::Room(error) => Self::from(error),
        }
    }
}

impl From<ForeignError> for Refusal {
    fn from(error: ForeignError) -> Self {
        match error {
            ForeignError::Json(_) => Self::new(RefusalReason::BadJson, error.to_string()),
            ForeignError::Thrift(_) => Self::new(RefusalReason::BadThrift, error.to_string()),
            ForeignError::Room(error) => Self::from(error),
        }
    }
}

impl From<RoomError> for Refusal {
    fn from(error: RoomError) -> Self {
        match error {
            RoomError::TooLarge { .. } => Self::new(RefusalReason::TooLarge, error.to_string()),
            RoomError::NoRoom => Self::overloaded(),
        }
    }
}

impl From<IngestError> for Refusal {
    fn from(error: IngestError) -> Self {
        let IngestError::TryAgain { message, retry_after_ms, overloaded } = error;
        let reason = if overloaded { RefusalReason::StoreBusy } else { RefusalReason::StoreUnavailable };
        Self { reason, message, retry_after_ms: Some(retry_after_ms) }
    }
}
