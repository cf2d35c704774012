//! An exporter whose values are functions of their explicit timestamps, so that every stored point can
//! be judged without knowing what was scraped.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

/// Series of `probe_value`, by their label `i`.
pub const SERIES: i64 = 20;

/// A running exporter.
pub struct Exporter {
    /// Its port on loopback.
    pub port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What series `i` of `probe_value` holds at `t` ms.
pub fn value(i: i64, t: i64) -> f64 {
    // Exact in a float, and different for every series and time.
    ((t % 1_000_000_007) * 31 + i) as f64
}

/// What the counter `probe_total` holds at `t` ms: it starts anew every five minutes.
pub fn counter(t: i64) -> f64 {
    (t % 300_000) as f64
}

impl Exporter {
    /// Starts it.
    pub fn start() -> Result<Exporter> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(stream) = stream {
                    std::thread::spawn(move || answer(stream));
                }
            }
        });
        Ok(Exporter { port, stop, thread: Some(thread) })
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accept loop, so that it sees the flag.
        let _woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// Answers requests on one connection until the client closes it.
fn answer(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            let body = page(now());
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(body.as_bytes()).ok()?;
        }
    }
}

fn page(t: i64) -> String {
    let mut text = String::from("# TYPE probe_value gauge\n");
    for i in 0..SERIES {
        text.push_str(&format!("probe_value{{i=\"{i}\"}} {} {t}\n", value(i, t)));
    }
    text.push_str(&format!("# TYPE probe_total counter\nprobe_total {} {t}\n", counter(t)));
    text
}

/// Milliseconds since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "proofs run on the machine's clock")]
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}
