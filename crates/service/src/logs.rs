//! Logs on stderr, one line an event: logfmt or JSON.
//!
//! ```text
//! ts=2026-11-24T14:45:33.123Z level=info target=dolmen_head msg="replay done" segments=3
//! {"ts":"2026-11-24T14:45:33.123Z","level":"info","target":"dolmen_head","msg":"replay done","segments":3}
//! ```

use std::fmt::{self, Write};
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use dolmen_ctx::{Clock, SystemClock};
use dolmen_model::{Error, Kind, Result};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How much is logged: `--log.level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// All.
    Debug,
    /// What a person may want to know.
    #[default]
    Info,
    /// What is not as it should be.
    Warn,
    /// What failed.
    Error,
}

impl FromStr for LogLevel {
    type Err = Error;
    fn from_str(s: &str) -> Result<LogLevel> {
        Ok(match s {
            "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "warn" => LogLevel::Warn,
            "error" => LogLevel::Error,
            _ => return Err(Error::invalid(format!("`{s}`, expected debug, info, warn or error"))),
        })
    }
}

/// How lines look: `--log.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `name=value` pairs.
    #[default]
    Logfmt,
    /// A JSON object.
    Json,
}

impl FromStr for LogFormat {
    type Err = Error;
    fn from_str(s: &str) -> Result<LogFormat> {
        Ok(match s {
            "logfmt" => LogFormat::Logfmt,
            "json" => LogFormat::Json,
            _ => return Err(Error::invalid(format!("`{s}`, expected logfmt or json"))),
        })
    }
}

/// What is logged and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logs {
    /// How much.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
}

impl Logs {
    /// From now on logs go to stderr; a panic is logged too. Once a process.
    pub fn init(self) -> Result<()> {
        let level = match self.level {
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Info => Level::INFO,
            LogLevel::Warn => Level::WARN,
            LogLevel::Error => Level::ERROR,
        };
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_max_level(level)
            .event_format(Lines(self.format))
            .try_init()
            .map_err(|e| Error::new(Kind::Halt, format!("start logging: {e}")))?;
        std::panic::set_hook(Box::new(|info| {
            let text = info.payload().downcast_ref::<&str>().copied();
            let text = text.or_else(|| info.payload().downcast_ref::<String>().map(String::as_str));
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let trace = std::backtrace::Backtrace::capture();
            tracing::error!(place, %trace, "panic: {}", text.unwrap_or("no text"));
        }));
        Ok(())
    }
}

struct Lines(LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_millis(SystemClock.now()).unwrap_or_default();
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        let mut line = Line { format: self.0, text: String::with_capacity(160) };
        line.string("ts", &time.to_rfc3339_opts(SecondsFormat::Millis, true));
        line.string("level", level);
        line.string("target", event.metadata().target());
        let mut message = Message(None);
        event.record(&mut message);
        if let Some(text) = message.0 {
            line.string("msg", &text);
        }
        event.record(&mut line);
        writer.write_str(&line.text)?;
        writer.write_str(if self.0 == LogFormat::Json { "}\n" } else { "\n" })
    }
}

/// Finds the message, which comes first in a line wherever it stands in the event.
struct Message(Option<String>);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

struct Line {
    format: LogFormat,
    text: String,
}

impl Line {
    fn name(&mut self, name: &str) {
        match self.format {
            LogFormat::Json => {
                self.text.push(if self.text.is_empty() { '{' } else { ',' });
                push_quoted(&mut self.text, name);
                self.text.push(':');
            }
            LogFormat::Logfmt => {
                if !self.text.is_empty() {
                    self.text.push(' ');
                }
                self.text.push_str(name);
                self.text.push('=');
            }
        }
    }

    fn string(&mut self, name: &str, value: &str) {
        self.name(name);
        let plain = !value.is_empty()
            && value.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'=' | b'\\'));
        if self.format == LogFormat::Logfmt && plain {
            self.text.push_str(value);
        } else {
            push_quoted(&mut self.text, value);
        }
    }

    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field.name());
        // Writing to a string cannot fail.
        let _written = write!(self.text, "{value}");
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "message" {
            self.string(field.name(), &format!("{value:?}"));
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != "message" {
            self.string(field.name(), value);
        }
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.bare(field, value),
            false => self.string(field.name(), &value.to_string()),
        }
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }
}

/// A string in quotes, such that it stays on its line and both formats read it back.
fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _written = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(format: LogFormat) -> String {
        let sink = Sink::default();
        let to = sink.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || to.clone()).event_format(Lines(format)).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(n = 3, ok = true, v = f64::NAN, path = "a b", err = %"x\n\"y\"", "replay {}", "done");
        });
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn both_formats() {
        let text = line(LogFormat::Logfmt);
        let (ts, rest) = text.split_once(' ').unwrap();
        assert!(ts.starts_with("ts=20") && ts.ends_with('Z') && ts.len() == 27, "{ts}");
        assert_eq!(
            rest,
            "level=warn target=dolmen_service::logs::tests msg=\"replay done\" n=3 ok=true v=NaN path=\"a b\" err=\"x\\n\\\"y\\\"\"\n"
        );
        let text = line(LogFormat::Json);
        let at = text.find(",\"level\"").unwrap();
        assert_eq!(
            &text[at..],
            ",\"level\":\"warn\",\"target\":\"dolmen_service::logs::tests\",\"msg\":\"replay done\",\"n\":3,\"ok\":true,\"v\":\"NaN\",\"path\":\"a b\",\"err\":\"x\\n\\\"y\\\"\"}\n"
        );
    }
}
