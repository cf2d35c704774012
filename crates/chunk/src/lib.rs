//! Samples <-> chunk bytes: XOR, histogram, float histogram.
//!
//! A chunk is what a block's segment files and the head hold of one series: up to a few hundred samples,
//! compressed bit by bit. Decoding goes straight into [`dolmen_model::Columns`]; encoding is append-only,
//! so that an open chunk can be read by its length. Nothing here panics on any bytes, and memory is bounded
//! by the bytes given, never by a count that a header claims.

pub mod bits;
pub mod varbit;
pub mod xor;

mod error;
pub use error::Corrupt;

mod decode;
pub use decode::{decode, decode_histograms, samples};

mod histogram;
pub use histogram::{
    Appended, FloatHistogramEncoder, HistogramEncoder, MAX_BUCKETS, ResetHeader, reset_header,
};

mod encode;
pub use encode::{Encoded, SAMPLES_PER_CHUNK, encode_floats, encode_histograms};
pub use xor::XorEncoder;

#[cfg(test)]
mod tests;
