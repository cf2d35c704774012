//! Why a query has no answer.

use std::fmt;

use dolmen_model::{Error, Kind};

/// What went wrong, as the API classes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromqlErrorKind {
    /// The text or the parameters make no sense.
    BadData,
    /// The evaluation came upon something that it cannot answer.
    Execution,
    /// The deadline passed.
    Timeout,
    /// The caller left.
    Canceled,
    /// The data could not be read.
    Internal,
    /// A limit would be passed.
    Limit,
}

/// Why a query has no answer. The text is Prometheus', where Prometheus has one.
#[derive(Clone, Debug)]
pub struct PromqlError {
    /// What went wrong.
    pub kind: PromqlErrorKind,
    /// The text.
    pub text: String,
}

impl PromqlError {
    /// Text or parameters make no sense.
    pub fn bad_data(text: impl Into<String>) -> PromqlError {
        PromqlError { kind: PromqlErrorKind::BadData, text: text.into() }
    }

    /// The evaluation cannot go on.
    pub fn execution(text: impl Into<String>) -> PromqlError {
        PromqlError { kind: PromqlErrorKind::Execution, text: text.into() }
    }

    /// Two series would have the same labels at the same time.
    pub fn same_labels() -> PromqlError {
        PromqlError::execution("vector cannot contain metrics with the same labelset")
    }

    /// The limit on samples.
    pub fn too_many_samples() -> PromqlError {
        PromqlError {
            kind: PromqlErrorKind::Limit,
            text: "query processing would load too many samples into memory in query execution".to_owned(),
        }
    }
}

impl fmt::Display for PromqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for PromqlError {}

impl From<Error> for PromqlError {
    fn from(e: Error) -> PromqlError {
        let (kind, text) = match e.kind() {
            Kind::Canceled => {
                (PromqlErrorKind::Canceled, "query was canceled in expression evaluation".to_owned())
            }
            Kind::Timeout => {
                (PromqlErrorKind::Timeout, "query timed out in expression evaluation".to_owned())
            }
            Kind::Limit => (PromqlErrorKind::Limit, e.to_string()),
            Kind::Invalid => (PromqlErrorKind::Execution, e.to_string()),
            _ => (PromqlErrorKind::Internal, format!("expanding series: {e}")),
        };
        PromqlError { kind, text }
    }
}

/// `Result` of everything that evaluates.
pub type Result<T, E = PromqlError> = std::result::Result<T, E>;
