//! The process' own metrics, as text.

use std::sync::Arc;

use dolmen_model::{Error, Kind, Result};
use parking_lot::Mutex;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::process::ProcessCollector;

/// Content type of the text.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process' metrics. Clones are one.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// With the build's version and the process' own figures.
    pub fn new(version: &'static str, revision: &'static str) -> Metrics {
        let mut registry = Registry::default();
        let info = Info::new(vec![("version", version), ("revision", revision)]);
        registry.register("dolmen_build", "What this process was built from", info);
        registry.register_collector(Box::new(ProcessCollector));
        Metrics(Arc::new(Mutex::new(registry)))
    }

    /// For those who register metrics.
    pub fn register<T>(&self, f: impl FnOnce(&mut Registry) -> T) -> T {
        f(&mut self.0.lock())
    }

    /// All metrics in OpenMetrics text, [`OPEN_METRICS`].
    pub fn text(&self) -> Result<String> {
        let mut text = String::with_capacity(16 << 10);
        prometheus_client::encoding::text::encode(&mut text, &self.0.lock())
            .map_err(|e| Error::wrap(Kind::Halt, "write metrics", e))?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_build_and_process() {
        let text = Metrics::new("1.2.3", "abc").text().unwrap();
        assert!(text.contains("dolmen_build_info{version=\"1.2.3\",revision=\"abc\"} 1\n"), "{text}");
        for name in [
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_virtual_memory_bytes ",
            "process_open_fds ",
            "process_max_fds ",
            "process_threads ",
            "process_start_time_seconds ",
        ] {
            let line =
                text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
            assert!(line[name.len()..].parse::<f64>().unwrap() > 0.0 || name.contains("cpu"), "{line}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
