//! Frames of series are bytes already when tonic gets them.

use bytes::{BufMut, Bytes};
use dolmen_ctx::Reservation;
use dolmen_proto::thanos::SeriesRequest;
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;

/// An encoded `SeriesResponse`.
#[derive(Debug)]
pub(crate) struct EncodedFrame {
    pub bytes: Bytes,
    /// Its memory, and that of the frames before it.
    pub held: Option<Reservation>,
}

impl From<Vec<u8>> for EncodedFrame {
    fn from(bytes: Vec<u8>) -> EncodedFrame {
        EncodedFrame { bytes: bytes.into(), held: None }
    }
}

/// Reads requests, passes frames on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameCodec;

/// Copies a frame behind its head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameEncoder;

impl Codec for FrameCodec {
    type Encode = EncodedFrame;
    type Decode = SeriesRequest;
    type Encoder = FrameEncoder;
    type Decoder = <ProstCodec<SeriesRequest, SeriesRequest> as Codec>::Decoder;

    fn encoder(&mut self) -> FrameEncoder {
        FrameEncoder
    }
    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<SeriesRequest, SeriesRequest>::default().decoder()
    }
}

impl Encoder for FrameEncoder {
    type Item = EncodedFrame;
    type Error = Status;

    fn encode(&mut self, frame: EncodedFrame, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&frame.bytes);
        drop(frame.held);
        Ok(())
    }
}
