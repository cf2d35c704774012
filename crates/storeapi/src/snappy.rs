//! `grpc-encoding: snappy`, which Thanos speaks: each message of a body is a stream of snappy frames.
//!
//! tonic knows no encodings but its own. So bodies are framed anew on their way: what comes compressed is made
//! plain before tonic reads it, what tonic wrote is compressed before it is sent.
//!
//! ```text
//! message   1 byte   0 plain, 1 compressed
//!           4 bytes  length, big endian
//!           length   bytes
//! ```

use std::io::{Read, Write};

use bytes::{BufMut, Bytes, BytesMut};
use http::header::AsHeaderName;
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;

mod body;
use body::{Reframed, Turn};

mod client;
pub use client::SnappyChannel;

mod server;
pub(crate) use server::unsnap;

/// The encoding's name.
const SNAPPY: HeaderValue = HeaderValue::from_static("snappy");
/// How messages of this body are encoded.
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// How messages of the answer may be encoded.
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Bytes before each message.
const HEAD: usize = 5;

/// Whether one of the words of a header is `snappy`.
fn names_snappy(headers: &HeaderMap, header: impl AsHeaderName) -> bool {
    let words = |v: &HeaderValue| v.to_str().is_ok_and(|v| v.split(',').any(|w| w.trim() == "snappy"));
    headers.get_all(header).iter().any(words)
}

/// A message with its head.
fn framed(compressed: bool, message: &[u8]) -> Result<Bytes, Status> {
    let len =
        u32::try_from(message.len()).map_err(|_| Status::resource_exhausted("message of 4 GiB or more"))?;
    let mut out = BytesMut::with_capacity(HEAD + message.len());
    out.put_u8(u8::from(compressed));
    out.put_u32(len);
    out.extend_from_slice(message);
    Ok(out.freeze())
}

/// The plain message with its head.
fn decompressed(message: &[u8], max: usize) -> Result<Bytes, Status> {
    let mut plain = Vec::with_capacity(message.len().saturating_mul(2).min(max));
    // One byte more than allowed tells that there is more.
    let mut reader = snap::read::FrameDecoder::new(message).take(max as u64 + 1);
    reader.read_to_end(&mut plain).map_err(|e| Status::data_loss(format!("decompress a message: {e}")))?;
    if plain.len() > max {
        return Err(Status::resource_exhausted(format!("a message of more than {max} bytes, decompressed")));
    }
    framed(false, &plain)
}

/// The compressed message with its head.
fn compressed(message: &[u8]) -> Result<Bytes, Status> {
    let failed = |e: &dyn std::fmt::Display| Status::internal(format!("compress a message: {e}"));
    let mut writer = snap::write::FrameEncoder::new(Vec::with_capacity(message.len() / 2 + 32));
    writer.write_all(message).map_err(|e| failed(&e))?;
    let bytes = writer.into_inner().map_err(|e| failed(&e))?;
    framed(true, &bytes)
}

#[cfg(test)]
mod tests;
