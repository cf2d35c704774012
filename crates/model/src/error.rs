//! One error type: its kind says what the caller does next, its text what we were doing.

use std::fmt;
use std::sync::Arc;

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Try again later: the cause is outside and may pass.
    Retry,
    /// Stop this piece of work and tell a person: trying again cannot help.
    Halt,
    /// The thing asked for does not exist.
    NotFound,
    /// Bytes that break their format.
    Corrupt,
    /// Another process is there and did not do this; other things it may do.
    Refused,
    /// The caller asked for something that makes no sense.
    Invalid,
    /// A declared limit would be passed.
    Limit,
    /// The caller left.
    Canceled,
    /// The deadline passed.
    Timeout,
}

/// Cheap to clone, so that one failure can be told to many waiters.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: Kind,
    text: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// `Result` with our error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a kind, with its text in lower case.
    pub fn new(kind: Kind, text: impl Into<String>) -> Error {
        Error(Arc::new(Inner { kind, text: text.into(), source: None }))
    }

    /// Bytes that break their format.
    pub fn corrupt(text: impl Into<String>) -> Error {
        Error::new(Kind::Corrupt, text)
    }

    /// A request that makes no sense.
    pub fn invalid(text: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, text)
    }

    /// Wraps a foreign error.
    pub fn wrap(
        kind: Kind,
        text: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Error {
        Error(Arc::new(Inner { kind, text: text.into(), source: Some(Arc::new(source)) }))
    }

    /// What the caller does next.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Error {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => Kind::Corrupt,
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::PermissionDenied => Kind::Halt,
            _ => Kind::Retry,
        };
        Error::wrap(kind, "i/o", e)
    }
}

/// Adds what we were doing, as a verb in lower case: `read index-header`.
pub trait Context<T> {
    /// Puts `doing: ` before the error's text; the kind stays.
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|e| {
            let e: Error = e.into();
            Error(Arc::new(Inner { kind: e.kind(), text: format!("{doing}: {e}"), source: None }))
        })
    }
}
