//! Errors as gRPC statuses, and what becomes of an answer that lacks something.

use dolmen_model::{Completeness, Error, Kind, Missing};
use dolmen_proto::thanos;
use tonic::{Code, Status};

/// An error as a status.
pub(crate) fn status(e: Error) -> Status {
    let code = match e.kind() {
        Kind::Retry => Code::Unavailable,
        Kind::Halt | Kind::NotFound | Kind::Corrupt | Kind::Refused => Code::Internal,
        Kind::Invalid => Code::InvalidArgument,
        Kind::Limit => Code::ResourceExhausted,
        Kind::Canceled => Code::Cancelled,
        Kind::Timeout => Code::DeadlineExceeded,
    };
    if code == Code::Internal {
        tracing::warn!("StoreAPI: {e}");
    }
    Status::new(code, e.to_string())
}

/// An answer that lacks something, to a client that wants it whole.
pub(crate) fn aborted(lacks: &Completeness) -> Status {
    let texts: Vec<String> = lacks.missing.iter().map(text).collect();
    Status::aborted(texts.join("; "))
}

/// What a warning says. What is missing within this process has neither site nor store: the cause names it.
pub(crate) fn text(m: &Missing) -> String {
    m.to_string()
}

/// A lack as it travels.
pub(crate) fn missing(m: &Missing) -> thanos::Missing {
    thanos::Missing {
        site: m.site.to_string(),
        store: m.store.to_string(),
        min_time: m.range.mint(),
        max_time: m.range.maxt().saturating_sub(i64::from(m.range.maxt() != i64::MAX)),
        cause: m.cause.clone(),
    }
}
