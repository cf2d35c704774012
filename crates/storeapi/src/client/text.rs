//! What went wrong with a store, in few words.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use dolmen_model::{Error, Kind};
use tonic::{Code, Status};

/// Characters of a text that came from outside.
const TEXT_MAX: usize = 200;

/// On one line, and not too long.
pub(super) fn short(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let mut out: String = text.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

/// `3s`, `500ms`.
pub(super) fn duration(d: Duration) -> String {
    match d.as_millis() {
        ms if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// Nothing came for so long.
pub(super) fn no_answer(limit: Duration) -> Error {
    Error::new(Kind::Retry, format!("no answer in {}", duration(limit)))
}

/// The answer is larger than any may be.
pub(super) fn too_much(max: u64) -> Error {
    Error::corrupt(format!("answer of more than {max} bytes"))
}

/// Nothing but signs of life came for so long.
pub(super) fn no_series(limit: Duration) -> Error {
    Error::new(Kind::Retry, format!("no series in {}", duration(limit)))
}

/// A call that failed.
pub(super) fn failed(status: &Status, timeout: Duration) -> Error {
    // Only what this side found has a source.
    let mut cause = status.source();
    let mut last = None;
    while let Some(e) = cause {
        if let Some(e) = e.downcast_ref::<io::Error>() {
            return io_failed(e, timeout);
        }
        last = Some(e);
        cause = e.source();
    }
    if let Some(e) = last {
        return Error::new(Kind::Retry, short(e));
    }
    let kind = match status.code() {
        Code::DataLoss => Kind::Corrupt,
        Code::Unavailable => Kind::Retry,
        // It is there, and may do other things.
        _ => Kind::Refused,
    };
    Error::new(kind, short(format_args!("{:?}: {}", status.code(), status.message())))
}

fn io_failed(e: &io::Error, timeout: Duration) -> Error {
    let text = match e.kind() {
        io::ErrorKind::TimedOut => return no_answer(timeout),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection lost".to_owned(),
        io::ErrorKind::UnexpectedEof => "connection lost".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        _ => {
            let text = e.to_string();
            let plain = text.split_once(" (os error").map_or(text.as_str(), |(plain, _)| plain);
            short(plain.strip_prefix("failed to lookup address information: ").unwrap_or(plain))
        }
    };
    Error::new(Kind::Retry, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(short("a\nb\u{7}c"), "a b c");
        assert_eq!(short("ä".repeat(300)).chars().count(), TEXT_MAX + 1);
        assert_eq!(duration(Duration::from_millis(96_000)), "96s");
        assert_eq!(duration(Duration::from_millis(500)), "500ms");
        let e = failed(&Status::unavailable("not\nready"), Duration::from_secs(3));
        assert_eq!((e.kind(), e.to_string().as_str()), (Kind::Retry, "Unavailable: not ready"));
        assert_eq!(failed(&Status::unknown("x"), Duration::ZERO).kind(), Kind::Refused);
    }
}
