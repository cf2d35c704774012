//! Protobuf, written by hand.
//!
//! Frames of series are written straight from batches: no message types in between, no strings of their own.

mod write;

mod series;
pub(crate) use series::{Outgoing, Piece};

pub(crate) use write::put_key;
