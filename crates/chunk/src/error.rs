//! The one thing that can be wrong with a chunk: its bytes.

use dolmen_model::Error;

/// Bytes that break the format of their encoding, or an encoding that this build does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt(pub(crate) &'static str);

impl std::fmt::Display for Corrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Corrupt {}

impl From<Corrupt> for Error {
    fn from(e: Corrupt) -> Error {
        Error::corrupt(e.0)
    }
}

pub(crate) const ENDS_EARLY: Corrupt = Corrupt("chunk ends before its samples do");
pub(crate) const NO_HEADER: Corrupt = Corrupt("chunk is shorter than its header");
pub(crate) const TIMES_NOT_RISING: Corrupt = Corrupt("times in the chunk do not rise");
