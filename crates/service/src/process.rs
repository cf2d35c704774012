//! CPU time, memory and file descriptors of this process, from `/proc/self`.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Ticks a second in `/proc`: the same on all Linux systems, whatever the kernel's own clock.
const TICKS: f64 = 100.0;
/// Bytes of a page. Where pages are larger, `statm` would mislead; `status` gives kilobytes and is used instead.
const KIB: f64 = 1024.0;

#[derive(Debug)]
pub(crate) struct ProcessCollector;

/// Figures of the process at one moment.
#[derive(Debug, Default)]
struct Figures {
    cpu_seconds: f64,
    resident: f64,
    virtual_memory: f64,
    threads: f64,
    start: f64,
    open_fds: f64,
    max_fds: f64,
}

impl Figures {
    /// `None` where `/proc` does not show them.
    fn read() -> Option<Figures> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The command's name stands in brackets and may hold anything; fields are counted after it.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let field = |n: usize| fields.get(n - 3)?.parse::<f64>().ok();
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let kib = |name: &str| number_after(&status, name);
        let boot = number_after(&fs::read_to_string("/proc/stat").ok()?, "btime ")?;
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        Some(Figures {
            cpu_seconds: (field(14)? + field(15)?) / TICKS,
            resident: kib("VmRSS:")? * KIB,
            virtual_memory: kib("VmSize:")? * KIB,
            threads: field(20)?,
            start: boot + field(22)? / TICKS,
            open_fds: fs::read_dir("/proc/self/fd").ok()?.count() as f64,
            max_fds: number_after(&limits, "Max open files")?,
        })
    }
}

/// The first number behind the line's beginning.
fn number_after(text: &str, beginning: &str) -> Option<f64> {
    text.lines().find_map(|l| l.strip_prefix(beginning))?.split_whitespace().next()?.parse().ok()
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Some(f) = Figures::read() else { return Ok(()) };
        let cpu = ConstCounter::new(f.cpu_seconds);
        let help = "CPU time, of user and system";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?)?;
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory that is in RAM", f.resident),
            ("process_virtual_memory_bytes", "Address space", f.virtual_memory),
            ("process_threads", "Threads", f.threads),
            ("process_start_time_seconds", "Start, in seconds since the Unix epoch", f.start),
            ("process_open_fds", "Open file descriptors", f.open_fds),
            ("process_max_fds", "Most open file descriptors", f.max_fds),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
