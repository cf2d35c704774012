//! What the head keeps of a series: one cache line that every append touches, and the rest.

use dolmen_chunk::xor::State;
use dolmen_chunk::{FloatHistogramEncoder, HistogramEncoder};
use dolmen_model::{Encoding, Timestamp};

use crate::slab::SlotRef;

/// Records in a page; pages are never moved, so that growing costs no copy.
pub const PAGE: usize = 1024;

/// What the open chunk holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum OpenKind {
    /// There is none.
    #[default]
    None,
    /// Floats.
    Xor,
    /// Histograms, in the side table.
    Histogram,
}

/// The part of a series that every append touches.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Hot {
    /// Keyed hash of the canonical label bytes.
    pub key: u128,
    /// Time of the newest sample.
    pub t_last: i64,
    /// Value of the newest float sample.
    pub v_last: f64,
    /// Its number in the WAL; 0: the record is free.
    pub wal_ref: u64,
    /// Time between the two newest samples of the open chunk.
    pub delta: u32,
    /// Which block range the open chunk lies in: its start divided by the range's length.
    pub range: u32,
    /// Where the open chunk's bytes are.
    pub chunk: SlotRef,
    /// The stream.
    pub stream: u32,
    /// Samples in the open chunk.
    pub n: u16,
    /// Bits in the open chunk.
    pub bits: u16,
    /// Leading zeros of the value window.
    pub lead: u8,
    /// Trailing zeros of the value window.
    pub trail: u8,
    /// What the open chunk holds.
    pub kind: OpenKind,
    /// Whether the newest sample is a histogram.
    pub last_is_histogram: bool,
}

const _: () = assert!(size_of::<Hot>() == 64);

impl Hot {
    /// A series without samples.
    pub fn new(key: u128, wal_ref: u64, stream: u32) -> Hot {
        Hot {
            key,
            t_last: i64::MIN,
            v_last: 0.0,
            wal_ref,
            delta: 0,
            range: 0,
            chunk: SlotRef::default(),
            stream,
            n: 0,
            bits: 0,
            lead: 0,
            trail: 0,
            kind: OpenKind::None,
            last_is_histogram: false,
        }
    }

    /// Where the encoder of the open float chunk stands.
    pub fn state(&self) -> State {
        State {
            t_last: self.t_last,
            v_last: self.v_last,
            delta: u64::from(self.delta),
            bits: u32::from(self.bits),
            n: self.n,
            lead: self.lead,
            trail: self.trail,
        }
    }

    /// Keeps where the encoder stands. A chunk spans less than 2^32 ms and holds less than 2^16 bits.
    pub fn keep(&mut self, s: State) {
        self.t_last = s.t_last;
        self.v_last = s.v_last;
        self.delta = s.delta as u32;
        self.bits = s.bits as u16;
        self.n = s.n;
        self.lead = s.lead;
        self.trail = s.trail;
    }
}

/// The part of a series that is seldom touched.
#[derive(Clone, Copy, Debug)]
pub struct Cold {
    /// Time of the open chunk's first sample.
    pub open_mint: i64,
    /// Where its label values stand in the stripe's arena.
    pub labels: u32,
    /// Its tuple of label names.
    pub shape: u32,
    /// The newest closed chunk, as a place in the stripe's list; [`NONE`]: there is none.
    pub closed: u32,
    /// Its histogram encoder, as a place in the stripe's table.
    pub side: u32,
}

const _: () = assert!(size_of::<Cold>() <= 32);

/// No place.
pub const NONE: u32 = u32::MAX;

/// A full chunk.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Time of its first sample.
    pub mint: Timestamp,
    /// Time of its last sample.
    pub maxt: Timestamp,
    /// How its bytes are laid out.
    pub encoding: Encoding,
    /// Its bytes.
    pub data: bytes::Bytes,
    /// The chunk before it.
    pub before: u32,
}

/// The encoder of an open histogram chunk.
#[derive(Debug)]
pub enum Side {
    /// Integer counts.
    Int(HistogramEncoder),
    /// Float counts.
    Float(FloatHistogramEncoder),
}

impl Side {
    /// How its bytes are laid out.
    pub fn encoding(&self) -> Encoding {
        match self {
            Side::Int(_) => Encoding::Histogram,
            Side::Float(_) => Encoding::FloatHistogram,
        }
    }

    /// The chunk so far.
    pub fn data(&self) -> &[u8] {
        match self {
            Side::Int(e) => e.data(),
            Side::Float(e) => e.data(),
        }
    }
}
