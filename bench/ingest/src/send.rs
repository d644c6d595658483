//! Sending one request and waiting for its answer, over HTTP or gRPC.

use anyhow::Context as _;
use bytes::{Buf as _, BufMut as _};
use http::uri::PathAndQuery;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::load::Wire;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What the server did with a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Accepted,
    /// It is to be sent again later.
    Later,
    Failed(String),
}

/// Sends a body and waits for the answer.
pub(crate) type Send = Box<dyn FnMut(&[u8]) -> Answer>;

/// What sends the bodies of one client, over a connection of its own.
pub(crate) fn sender(wire: Wire, url: &str) -> anyhow::Result<Send> {
    match wire {
        Wire::OtlpGrpc => grpc(url),
        Wire::Otlp => Ok(post(url, "application/x-protobuf")),
        Wire::Datadog => Ok(post(url, "application/msgpack")),
    }
}

fn post(url: &str, content_type: &'static str) -> Send {
    let http: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let url = url.to_owned();
    Box::new(move |body| {
        let answer = http.post(&url).header("content-type", content_type).send(body);
        match answer.map(|mut answer| (answer.status().as_u16(), answer.body_mut().read_to_vec())) {
            Ok((200, _)) => Answer::Accepted,
            Ok((429 | 503, _)) => Answer::Later,
            other => Answer::Failed(format!("{other:?}")),
        }
    })
}

fn grpc(url: &str) -> anyhow::Result<Send> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let endpoint = Channel::from_shared(url.to_owned())?;
    let channel = runtime.block_on(endpoint.connect()).context("cannot connect over gRPC")?;
    let mut client = tonic::client::Grpc::new(channel);
    Ok(Box::new(move |body| {
        let called = runtime.block_on(async {
            client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
            let path = PathAndQuery::from_static(EXPORT);
            client.unary(tonic::Request::new(body.to_vec()), path, Encoded).await
        });
        match called {
            Ok(_) => Answer::Accepted,
            Err(status) if matches!(status.code(), Code::ResourceExhausted | Code::Unavailable) => Answer::Later,
            Err(status) => Answer::Failed(status.to_string()),
        }
    }))
}

/// Messages that are encoded already: making them anew would be the client's work and not the server's.
#[derive(Debug, Default)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; from.remaining()];
        from.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}
