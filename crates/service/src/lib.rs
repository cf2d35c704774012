//! Listeners, probes, shutdown, logs, metrics: what every role shares.

mod listener;
pub use listener::{BindError, Listener};

mod connection;

mod http;
pub use http::{HttpSettings, serve_http};

mod shutdown;
pub use shutdown::Shutdown;

mod readiness;
pub use readiness::{Gate, Readiness};

mod metrics;
pub use metrics::{Metrics, OPEN_METRICS};

mod process;

mod logs;
pub use logs::{LogFormat, LogLevel, Logs};

mod cpu;
pub use cpu::cpu;

mod probes;
pub use probes::probes;
