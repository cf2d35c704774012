//! Where the bytes of one block come from.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use dolmen_ctx::Ctx;
use dolmen_model::Result;

/// One file of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectPart {
    /// `index`
    Index,
    /// `chunks/…`, numbered from 0 as in chunk refs: 0 is `chunks/000001`.
    Chunks(u32),
    /// `tombstones`
    Tombstones,
    /// `meta.json`
    Meta,
}

impl ObjectPart {
    /// Path within the block.
    pub fn path(self) -> String {
        match self {
            ObjectPart::Index => dolmen_block::INDEX.into(),
            ObjectPart::Chunks(n) => {
                format!("{}/{}", dolmen_block::CHUNKS, dolmen_block::segment::file_name(n))
            }
            ObjectPart::Tombstones => dolmen_block::TOMBSTONES.into(),
            ObjectPart::Meta => dolmen_block::META.into(),
        }
    }
}

/// What bytes are read for: the `cause` of the request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Why {
    /// Symbols and postings' table.
    Header,
    /// Postings lists.
    Postings,
    /// Series entries.
    Series,
    /// Chunks.
    Chunks,
    /// Anything else.
    Other,
}

impl Why {
    /// All of them.
    pub const ALL: [Why; 5] = [Why::Header, Why::Postings, Why::Series, Why::Chunks, Why::Other];

    /// The value of the label `cause`.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Header => "header",
            Why::Postings => "postings",
            Why::Series => "series",
            Why::Chunks => "chunks",
            Why::Other => "other",
        }
    }
}

/// A range of bytes of a file.
pub type RangeOf = (ObjectPart, Range<u64>);

/// The bytes of one block, which never change.
#[async_trait]
pub trait ByteSource: Send + Sync {
    /// Length of a file; `None` where there is no such file.
    fn len(&self, part: ObjectPart) -> Option<u64>;

    /// The bytes, if they are at hand without I/O and without a copy. `None` also past the file's end.
    fn ready(&self, part: ObjectPart, range: Range<u64>) -> Option<Bytes>;

    /// Reads many ranges: one wave. A range that reaches past its file's end is `Kind::Corrupt`.
    async fn read(&self, ctx: &Ctx, why: Why, ranges: &[RangeOf]) -> Result<Vec<Bytes>>;

    /// Bytes of memory that reading these ranges takes; 0 where they are mapped.
    fn cost(&self, ranges: &[RangeOf]) -> u64;
}
