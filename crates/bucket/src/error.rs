//! What a store's error means: its code, whether a repetition may help, and our error made of it.

use std::error::Error as StdError;

use dolmen_model::{Context, Error, Kind};
use object_store::Error as StoreError;
use object_store::client::{HttpError, HttpErrorKind};

/// How the client begins the text of an answer that is no success; its type is not public.
const STATUS: &str = "non-2xx status code: ";

/// The error of a request that took longer than its deadline.
#[derive(Debug, thiserror::Error)]
#[error("{op} of {what} gave no answer within {seconds} s; it may still be carried out")]
pub(crate) struct TimedOut {
    pub op: &'static str,
    pub what: String,
    pub seconds: f64,
}

impl From<TimedOut> for StoreError {
    fn from(e: TimedOut) -> StoreError {
        StoreError::Generic { store: "bucket", source: Box::new(e) }
    }
}

fn chain(e: &StoreError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next = Some(e as &(dyn StdError + 'static));
    std::iter::from_fn(move || {
        let e = next?;
        next = e.source();
        Some(e)
    })
}

fn http_kind(e: &StoreError) -> Option<HttpErrorKind> {
    chain(e).find_map(|e| e.downcast_ref::<HttpError>()).map(HttpError::kind)
}

fn status(e: &StoreError) -> Option<u16> {
    match e {
        StoreError::NotFound { .. } => Some(404),
        StoreError::AlreadyExists { .. } => Some(409),
        StoreError::Precondition { .. } => Some(412),
        StoreError::NotModified { .. } => Some(304),
        StoreError::PermissionDenied { .. } => Some(403),
        StoreError::Unauthenticated { .. } => Some(401),
        StoreError::Generic { .. } => {
            let text = e.to_string();
            text.split_once(STATUS)?.1.get(..3)?.parse().ok()
        }
        _ => None,
    }
}

/// The code of a failed request: HTTP's, or `timeout`, `connect`, `error`.
pub fn code(e: &StoreError) -> String {
    if let Some(status) = status(e) {
        return status.to_string();
    }
    if timed_out(e) {
        return "timeout".to_owned();
    }
    let connect = http_kind(e) == Some(HttpErrorKind::Connect);
    if connect { "connect" } else { "error" }.to_owned()
}

fn timed_out(e: &StoreError) -> bool {
    http_kind(e) == Some(HttpErrorKind::Timeout) || chain(e).any(|e| e.is::<TimedOut>())
}

/// Whether the same request may succeed if it is sent again.
pub(crate) fn passing(e: &StoreError) -> bool {
    if let Some(status) = status(e) {
        return status >= 500 || status == 429 || status == 408;
    }
    use HttpErrorKind as K;
    if timed_out(e)
        || matches!(http_kind(e), Some(K::Connect | K::Request | K::Interrupted | K::Decode | K::Unknown))
    {
        return true;
    }
    use std::io::ErrorKind as Io;
    // A body that broke off comes as an I/O error; those of a local disk are of other kinds.
    chain(e).filter_map(|e| e.downcast_ref::<std::io::Error>()).any(|e| {
        matches!(
            e.kind(),
            Io::ConnectionReset
                | Io::ConnectionAborted
                | Io::ConnectionRefused
                | Io::BrokenPipe
                | Io::TimedOut
        )
    })
}

/// Our error for a store's; `doing` is a verb in lower case. Refusals and nonsense are `Halt`, since asking
/// again cannot help; a missing *bucket* is `Halt` too, never `NotFound`.
pub fn from_store(doing: impl std::fmt::Display, e: StoreError) -> Error {
    let kind = match (&e, status(&e)) {
        (StoreError::NotFound { .. }, _) if e.to_string().contains("NoSuchBucket") => Kind::Halt,
        (StoreError::NotFound { .. }, _) => Kind::NotFound,
        (StoreError::InvalidPath { .. }, _) => Kind::Invalid,
        (StoreError::NotSupported { .. } | StoreError::NotImplemented { .. }, _) => Kind::Halt,
        (_, Some(409 | 412 | 408 | 429)) => Kind::Retry,
        (_, Some(400..500)) => Kind::Halt,
        _ => Kind::Retry,
    };
    Err::<(), _>(Error::wrap(kind, "bucket", e)).context(doing).expect_err("made from an error")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> StoreError {
        StoreError::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn codes_and_kinds() {
        let status = |s: &str| generic(&format!("Error performing GET - Server returned {STATUS}{s}: x"));
        let cases = [
            (status("503 Service Unavailable"), "503", true, Kind::Retry),
            (status("429 Too Many Requests"), "429", true, Kind::Retry),
            (status("403 Forbidden"), "403", false, Kind::Halt),
            (status("404 Not Found"), "404", false, Kind::Halt),
            (status("416 Range"), "416", false, Kind::Halt),
            (generic("no route"), "error", false, Kind::Retry),
            (TimedOut { op: "get", what: "x".into(), seconds: 1.0 }.into(), "timeout", true, Kind::Retry),
            (StoreError::NotFound { path: "x".into(), source: "gone".into() }, "404", false, Kind::NotFound),
            (
                StoreError::NotFound { path: "x".into(), source: "NoSuchBucket".into() },
                "404",
                false,
                Kind::Halt,
            ),
        ];
        for (e, want_code, again, kind) in cases {
            assert_eq!((code(&e).as_str(), passing(&e)), (want_code, again), "{e}");
            assert_eq!(from_store("get x", e).kind(), kind);
        }
    }
}
