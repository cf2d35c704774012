//! One gRPC call whose answers stay bytes.

use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use dolmen_ctx::{Ctx, Reservation};
use dolmen_model::{Error, Kind, Result};
use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::StdError;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tower::Service;

use super::meter::{Meter, Metered};
use super::text;
use super::wait::Wait;
use crate::{SnappyChannel, VIA};

/// Bytes before each message: a flag and a length.
const PREFIX: usize = 5;

/// What can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Info,
    Series,
    LabelNames,
    LabelValues,
}

impl Method {
    fn path(self) -> PathAndQuery {
        PathAndQuery::from_static(match self {
            Method::Info => "/thanos.info.Info/Info",
            Method::Series => "/thanos.Store/Series",
            Method::LabelNames => "/thanos.Store/LabelNames",
            Method::LabelValues => "/thanos.Store/LabelValues",
        })
    }
}

/// How an answer may come, and what it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub frame_bytes: usize,
    pub answer_bytes: u64,
    pub snappy: bool,
}

/// One message, with its memory in the query's budget.
pub(super) struct Message {
    pub bytes: Bytes,
    pub held: Reservation,
}

/// A call that goes on.
pub(super) struct Call {
    messages: Streaming<Message>,
    meter: Meter,
    limits: Limits,
}

/// Sends the request, and waits until the store begins to answer.
pub(super) async fn start<M: prost::Message + 'static>(
    channel: Channel,
    ctx: &Ctx,
    method: Method,
    limits: Limits,
    message: M,
    via: &str,
    wait: &mut Wait,
) -> Result<Call> {
    let meter = Meter::new(ctx, limits.answer_bytes)?;
    let mut request = Request::new(message);
    if method != Method::Info {
        // What a Thanos querier sends where no tenant is given.
        request.metadata_mut().insert("thanos-tenant", MetadataValue::from_static("default-tenant"));
    }
    // Ours are hexadecimal and always pass; who came with another has no claim to be known again.
    if let Ok(via) = via.parse() {
        request.metadata_mut().insert(VIA, via);
    }
    // The meter stands outside: what is kept counts, not what is sent.
    let answer = match limits.snappy {
        true => {
            let snappy = SnappyChannel::new(channel, true, limits.frame_bytes);
            wait.on(send(snappy, request, method, meter.clone(), limits)).await?
        }
        false => wait.on(send(channel, request, method, meter.clone(), limits)).await?,
    };
    match answer {
        Ok(messages) => Ok(Call { messages, meter, limits }),
        Err(status) => Err(failed(&status, &meter, limits, wait)),
    }
}

async fn send<S, M: prost::Message + 'static>(
    channel: S,
    request: Request<M>,
    method: Method,
    meter: Meter,
    limits: Limits,
) -> Result<Streaming<Message>, Status>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Into<StdError> + 'static,
{
    let codec = RawCodec { meter: meter.clone(), request: PhantomData };
    let mut grpc = tonic::client::Grpc::new(Metered { inner: channel, meter })
        .max_decoding_message_size(limits.frame_bytes);
    grpc.ready().await.map_err(|e| Status::from_error(e.into()))?;
    Ok(grpc.server_streaming(request, method.path(), codec).await?.into_inner())
}

impl Call {
    /// The next message; `None` at the end, which the store has declared good.
    pub async fn next(&mut self, wait: &mut Wait) -> Result<Option<Message>> {
        match wait.on(self.messages.message()).await? {
            Ok(Some(message)) => {
                wait.next_frame(message.bytes.is_empty());
                Ok(Some(message))
            }
            Ok(None) if self.meter.left() == 0 => Ok(None),
            Ok(None) => Err(Error::new(Kind::Retry, "stream stopped within a frame")),
            Err(status) => Err(failed(&status, &self.meter, self.limits, wait)),
        }
    }

    /// The only message of the answer.
    pub async fn only(&mut self, wait: &mut Wait) -> Result<Message> {
        let none = || Error::corrupt("answer without a message");
        let message = self.next(wait).await?.ok_or_else(none)?;
        match self.next(wait).await? {
            None => Ok(message),
            Some(_) => Err(Error::corrupt("more than one message where one was expected")),
        }
    }
}

fn failed(status: &Status, meter: &Meter, limits: Limits, wait: &Wait) -> Error {
    if let Some(refused) = meter.refused() {
        return refused;
    }
    // Only here is the length known that the store announced; no memory was taken for it.
    let too_large = "Error, decoded message length too large: found ";
    if status.code() == Code::OutOfRange
        && let Some(rest) = status.message().strip_prefix(too_large)
    {
        let announced: String = rest.chars().take_while(char::is_ascii_digit).collect();
        return Error::corrupt(format!("frame of {announced} bytes, the limit is {}", limits.frame_bytes));
    }
    text::failed(status, wait.each())
}

/// Requests are protobuf messages, answers stay bytes.
struct RawCodec<M> {
    meter: Meter,
    request: PhantomData<M>,
}

impl<M: prost::Message + 'static> Codec for RawCodec<M> {
    type Encode = M;
    type Decode = Message;
    type Encoder = ProtoEncoder<M>;
    type Decoder = RawDecoder;

    fn encoder(&mut self) -> ProtoEncoder<M> {
        ProtoEncoder(PhantomData)
    }

    fn decoder(&mut self) -> RawDecoder {
        RawDecoder(self.meter.clone())
    }
}

struct ProtoEncoder<M>(PhantomData<M>);

impl<M: prost::Message> Encoder for ProtoEncoder<M> {
    type Item = M;
    type Error = Status;

    fn encode(&mut self, message: M, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(out).map_err(|e| Status::internal(e.to_string()))
    }
}

struct RawDecoder(Meter);

impl Decoder for RawDecoder {
    type Item = Message;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Message>, Status> {
        let len = src.remaining();
        let bytes = src.copy_to_bytes(len);
        Ok(Some(Message { bytes, held: self.0.take(len, PREFIX) }))
    }
}
