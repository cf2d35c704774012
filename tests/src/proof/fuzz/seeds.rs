//! Seeds of the fuzz targets: parts of golden blocks, recorded remote writes, requests of the load, the log of
//! a real Prometheus, expressions that are known.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use dolmen_block::segment::{self, Record};
use dolmen_proto::thanos::{
    AggrChunk, Chunk, Label, Missing, Run, Series, SeriesBatch, SeriesEnd, SeriesResponse, series_response,
};
use prost::Message;
use serde_json::Value;

use crate::load::{self, Shape};
use crate::place;
use crate::prometheus::Prometheus;
use crate::proof::Figures;

/// Largest seed: what the fuzzer takes.
const LENGTH_MAX: usize = 16384;

/// Writes a folder of seeds for each target below `to`.
pub(super) fn write(to: &Path, figures: &mut Figures) -> Result<()> {
    let shared = place::shared().context("needs the shared test data: set DOLMEN_SHARED")?;
    let mut seeds = Seeds { to: to.to_owned(), written: 0 };
    let golden = shared.join("golden");
    for file in files(&golden.join("compact"))? {
        match file.file_name().and_then(|n| n.to_str()) {
            Some("index") => index(&mut seeds, &std::fs::read(&file)?)?,
            Some("tombstones") => {
                let bytes = std::fs::read(&file)?;
                seeds
                    .put("index", &[&[7], bytes.get(5..bytes.len().saturating_sub(4)).unwrap_or_default()])?;
            }
            Some(name) if segment::number(name).is_some() => chunks(&mut seeds, &std::fs::read(&file)?)?,
            _ => {}
        }
    }
    for file in files(&golden.join("index-header"))? {
        seeds.put("index", &[&[1], &std::fs::read(&file)?])?;
    }
    requests(&mut seeds, &golden.join("http/receive-writes.jsonl"))?;
    frames(&mut seeds, &golden.join("storeapi"))?;
    log(&mut seeds)?;
    expressions(&mut seeds, &shared)?;
    figures.note("seeds", seeds.written);
    Ok(())
}

struct Seeds {
    to: PathBuf,
    written: u64,
}

impl Seeds {
    /// A seed of a target, in pieces; one that is too long is left out.
    fn put(&mut self, target: &str, pieces: &[&[u8]]) -> Result<()> {
        let bytes = pieces.concat();
        let dir = self.to.join(target);
        std::fs::create_dir_all(&dir)?;
        if bytes.len() <= LENGTH_MAX {
            std::fs::write(dir.join(format!("{:06}", self.written)), bytes)?;
            self.written += 1;
        }
        Ok(())
    }
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() { out.extend(files(&path)?) } else { out.push(path) }
    }
    out.sort();
    Ok(out)
}

/// Every chunk of a segment, and some whole records.
fn chunks(seeds: &mut Seeds, file: &[u8]) -> Result<()> {
    let mut at = segment::SEGMENT_HEADER as usize;
    let mut n = 0;
    while let Some(rest) = file.get(at..).filter(|r| !r.is_empty()) {
        let Ok(Record::Whole(encoding, data, len)) = segment::record(rest) else { return Ok(()) };
        // Golden blocks repeat themselves: the first chunks of each file are different enough.
        if n < 24 {
            seeds.put("chunk", &[&[encoding.wrapping_sub(1)], data])?;
        }
        if n == 0 {
            seeds.put("index", &[&[6, encoding], data])?;
        }
        (at, n) = (at + len, n + 1);
    }
    Ok(())
}

/// An index, and its sections and entries alone, without their lengths and checksums.
fn index(seeds: &mut Seeds, file: &[u8]) -> Result<()> {
    seeds.put("index", &[&[0], file])?;
    let toc = file.len().saturating_sub(52);
    let field = |i: usize| {
        let bytes = file.get(toc + 8 * i..)?.first_chunk::<8>()?;
        usize::try_from(u64::from_be_bytes(*bytes)).ok()
    };
    let section = |at: usize| {
        let (len, rest) = file.get(at..)?.split_first_chunk::<4>()?;
        rest.get(..u32::from_be_bytes(*len) as usize)
    };
    for (part, i) in [(2u8, 0), (3, 5)] {
        if let Some(body) = field(i).and_then(section) {
            seeds.put("index", &[&[part], body])?;
        }
    }
    if let Some(list) = field(4).map(|at| at.next_multiple_of(4)).and_then(section) {
        seeds.put("index", &[&[4], list])?;
    }
    // Entries of series begin at multiples of 16; those of less than 128 bytes have a length of one byte.
    if let Some(start) = field(1) {
        let at = start.next_multiple_of(16);
        if let Some(body) = file.get(at).and_then(|n| file.get(at + 1..at + 1 + usize::from(*n))) {
            seeds.put("index", &[&[5], body])?;
        }
    }
    Ok(())
}

/// Frames that a Thanos sent, and one with the words of our own.
fn frames(seeds: &mut Seeds, recorded: &Path) -> Result<()> {
    for file in files(recorded)? {
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if !name.contains("-series") || !name.ends_with(".resp") {
            continue;
        }
        let bytes = std::fs::read(&file)?;
        // Frames of one answer are alike: the first and the last are different enough.
        let mut all = Vec::new();
        let mut rest = &bytes[..];
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let Some((frame, after)) = after.split_at_checked(u32::from_be_bytes(*len) as usize) else {
                break;
            };
            all.push(frame);
            rest = after;
        }
        for frame in all.first().into_iter().chain(all.last()) {
            seeds.put("series_frame", &[frame])?;
        }
    }
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    let raw = Chunk { data: vec![0, 1, 2].into(), ..Chunk::default() };
    let chunk = AggrChunk { min_time: 1, max_time: 2, raw: Some(raw), ..AggrChunk::default() };
    let missing = Missing {
        site: "dc-b".into(),
        store: "b:1".into(),
        min_time: 1,
        max_time: 2,
        cause: "no answer in 3s".into(),
    };
    let series = Series {
        labels: vec![label("__name__", "up"), label("job", "a")],
        chunks: vec![chunk.clone(), chunk],
        runs: vec![Run { source: "a".into(), chunks: 1 }, Run { source: "b".into(), chunks: 1 }],
    };
    let batch = SeriesBatch { series: vec![series.clone(), series] };
    let ours = SeriesResponse {
        result: Some(series_response::Result::Batch(batch)),
        end: Some(SeriesEnd { missing: vec![missing] }),
    };
    seeds.put("series_frame", &[&ours.encode_to_vec()])
}

/// Remote writes as they were recorded, compressed and not, and those of the load.
fn requests(seeds: &mut Seeds, recorded: &Path) -> Result<()> {
    let mut bodies = Vec::new();
    for line in std::fs::read_to_string(recorded)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        bodies.push(base64(line["body_base64"].as_str().unwrap_or("")));
    }
    for (series, depth) in [(1, 1), (3, 5), (20, 2)] {
        let shape = Shape { start: 1_795_330_800_000, step: 15_000, series, depth };
        bodies.extend([shape.request(0, 0), shape.request(1, 7), load::histograms(shape.time(3), 3)]);
    }
    for body in bodies {
        seeds.put("write_request", &[&[1], &body])?;
        if let Ok(plain) = snap::raw::Decoder::new().decompress_vec(&body) {
            seeds.put("write_request", &[&[0], &plain])?;
            seeds.put("write_request", &[&[2], &plain])?;
        }
    }
    Ok(())
}

/// The standard alphabet; what is outside of it is passed over.
fn base64(text: &str) -> Vec<u8> {
    let (mut out, mut bits, mut n) = (Vec::new(), 0u32, 0);
    for c in text.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        (bits, n) = (bits << 6 | u32::from(six), n + 6);
        if n >= 8 {
            n -= 8;
            out.push((bits >> n) as u8);
        }
    }
    out
}

/// Segments of the log of a real Prometheus, compressed and not.
fn log(seeds: &mut Seeds) -> Result<()> {
    if place::install(&["prometheus"]).is_some() {
        return Ok(());
    }
    let dir = place::scratch("fuzz-log")?;
    for (name, compress) in
        [("plain", "--no-storage.tsdb.wal-compression"), ("snappy", "--storage.tsdb.wal-compression")]
    {
        let flags = ["--web.enable-remote-write-receiver", "--enable-feature=native-histograms", compress];
        let mut prometheus = Prometheus::start(name, dir.path(), "global: {}\n", &flags)?;
        let shape = Shape { start: crate::exporter::now() - 600_000, step: 15_000, series: 3, depth: 4 };
        for b in 0..6 {
            for body in [shape.request(0, b), load::histograms(shape.time(4 * b), b)] {
                prometheus.client().post("/api/v1/write", &load::HEADERS, body)?;
            }
        }
        let wal = prometheus.data().join("wal");
        prometheus.process.stop(std::time::Duration::from_secs(30))?;
        for file in files(&wal)? {
            let bytes = std::fs::read(&file)?;
            // A segment that is being written ends in the zeros of its last page.
            let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
            for len in [end, end / 2] {
                seeds.put("wal", &[&[0], &bytes[..len]])?;
            }
        }
    }
    Ok(())
}

/// Expressions with known trees and known refusals.
fn expressions(seeds: &mut Seeds, shared: &Path) -> Result<()> {
    let all = place::run(Command::new("gzip").arg("-dc").arg(shared.join("oracle/parse.jsonl.gz")))?;
    for line in all.lines() {
        let line: Value = serde_json::from_str(line)?;
        let text = line["expr"].as_str().or_else(|| line["query"].as_str()).unwrap_or("");
        seeds.put("promql", &[text.as_bytes()])?;
    }
    Ok(())
}
