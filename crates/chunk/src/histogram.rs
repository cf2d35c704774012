//! Histogram chunks: integer (encoding 2) and float (encoding 3).
//!
//! ```text
//! u16 be   number of samples
//! u8       top two bits: 00 unknown, 10 counter reset before, 01 no reset before, 11 gauge
//! layout   zero threshold, schema, positive spans, negative spans, custom bounds
//! integer  sample 0: vb t, vbu count, vbu zero count, 64 bits sum, vb each bucket's delta to the one before
//!          sample n: vb dod of t, of count, of zero count; xor of sum; vb dod of each bucket's delta
//! float    sample 0: vb t, 64 bits count, zero count, sum, each bucket
//!          sample n: vb dod of t; xor of count, zero count, sum, each bucket, each with a window of its own
//! stale    the sum is the stale marker; no buckets follow, and only stale samples
//! ```

mod layout;

mod decode;
pub(crate) use decode::{decode_float, decode_int, walk_float, walk_int};

mod widen;

mod encode;
pub use encode::{Appended, FloatHistogramEncoder, HistogramEncoder};

mod counts;

use crate::error::{Corrupt, NO_HEADER};

/// Most buckets of one histogram that are read or written.
pub const MAX_BUCKETS: usize = 1 << 16;

/// Bytes before the layout.
const HEADER_BYTES: usize = 3;

/// What a chunk's header says about a counter reset before its first sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetHeader {
    /// Nothing.
    #[default]
    Unknown,
    /// There was one.
    Reset,
    /// There was none.
    NotReset,
    /// All samples are gauges.
    Gauge,
}

impl ResetHeader {
    fn from_flags(flags: u8) -> ResetHeader {
        match flags >> 6 {
            0b10 => ResetHeader::Reset,
            0b01 => ResetHeader::NotReset,
            0b11 => ResetHeader::Gauge,
            _ => ResetHeader::Unknown,
        }
    }

    fn flags(self) -> u8 {
        match self {
            ResetHeader::Unknown => 0,
            ResetHeader::Reset => 0x80,
            ResetHeader::NotReset => 0x40,
            ResetHeader::Gauge => 0xc0,
        }
    }
}

/// The header of an integer or float histogram chunk.
pub fn reset_header(data: &[u8]) -> Result<ResetHeader, Corrupt> {
    data.get(2).map(|flags| ResetHeader::from_flags(*flags)).ok_or(NO_HEADER)
}
