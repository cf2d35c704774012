//! Chunk bytes of any encoding -> columns.

use dolmen_model::{Columns, Encoding, Histogram, Timestamp};

use crate::error::{Corrupt, NO_HEADER};
use crate::{histogram, xor};

const NOT_READ_XOR2: Corrupt =
    Corrupt("chunk encoding 4 (XOR2, floats with start timestamps) is not read yet");
const NOT_READ_ST: Corrupt =
    Corrupt("chunk encodings 5 and 6 (histograms with start timestamps) are not read yet");

/// Appends the samples with `from <= t < to` to `out`. On an error `out` is as before.
pub fn decode(
    e: Encoding,
    data: &[u8],
    from: Timestamp,
    to: Timestamp,
    out: &mut Columns,
) -> Result<(), Corrupt> {
    match e {
        Encoding::Xor => xor::decode(data, from, to, &mut out.t, &mut out.v),
        Encoding::Histogram => histogram::decode_int(data, from, to, &mut out.h),
        Encoding::FloatHistogram => histogram::decode_float(data, from, to, &mut out.h),
        other => Err(not_read(other)),
    }
}

/// All histograms of a chunk as they were written, integer or float: for re-encoding.
pub fn decode_histograms(e: Encoding, data: &[u8]) -> Result<Vec<(Timestamp, Histogram)>, Corrupt> {
    let mut out = Vec::new();
    match e {
        Encoding::Histogram => histogram::walk_int(data, |s| {
            out.push((s.t, Histogram::Int(s.to_histogram())));
            true
        })?,
        Encoding::FloatHistogram => histogram::walk_float(data, |s| {
            out.push((s.t, Histogram::Float(s.to_histogram())));
            true
        })?,
        Encoding::Xor => return Err(Corrupt("a chunk of floats where histograms were expected")),
        other => return Err(not_read(other)),
    }
    Ok(out)
}

/// How many samples the header says there are.
pub fn samples(e: Encoding, data: &[u8]) -> Result<u16, Corrupt> {
    let count = u16::from_be_bytes(*data.first_chunk::<2>().ok_or(NO_HEADER)?);
    Ok(match e {
        // The top two bits are flags there.
        Encoding::HistogramSt | Encoding::FloatHistogramSt => count & 0x3fff,
        _ => count,
    })
}

fn not_read(e: Encoding) -> Corrupt {
    if e == Encoding::Xor2 { NOT_READ_XOR2 } else { NOT_READ_ST }
}
