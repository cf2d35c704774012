//! Where in a block something is wrong.

use std::fmt;

use dolmen_model::{Context, Error};
use dolmen_source::ObjectPart;

/// A place in a block, and what is wrong there.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The file.
    pub part: ObjectPart,
    /// Offset in the file.
    pub offset: u64,
    /// What is wrong. Of a kind other than `Corrupt` it is the way there, not the bytes.
    pub error: Error,
}

impl Fault {
    /// Says where an error was met.
    pub(crate) fn at(part: ObjectPart, offset: u64) -> impl FnOnce(Error) -> Fault {
        move |error| Fault { part, offset, error }
    }

    /// Bytes that break their format.
    pub(crate) fn corrupt(part: ObjectPart, offset: u64, text: impl Into<String>) -> Fault {
        Fault { part, offset, error: Error::corrupt(text) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.part.path(), self.offset, self.error)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        let place = format!("{} at {}", fault.part.path(), fault.offset);
        // The kind stays: it says whether to try again.
        Err::<(), Error>(fault.error).context(place).expect_err("made from an error")
    }
}
