//! Reads the load back by query and compares it, sample by sample, with the ledger.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::http::Client;
use crate::ledger::Writers;
use crate::load::Shape;

/// Checks the samples of all writers from `since[w]` batches on, up to what is acknowledged. Gives how many
/// were compared, and moves `since` forward.
pub fn check(client: &Client, writers: &Writers, since: &mut [u64]) -> Result<u64> {
    let mut compared = 0;
    for writer in 0..writers.writers {
        let (from, to) = (since[writer as usize], writers.acknowledged(writer)?);
        let depth = u64::from(writers.shape.depth);
        // In slices, so that one answer stays some megabytes.
        let mut at = from;
        while at < to {
            let end = to.min(at + (800 / depth).max(1));
            compared += slice(client, &writers.shape, writer, at * depth, end * depth)?;
            at = end;
        }
        since[writer as usize] = to;
    }
    Ok(compared)
}

/// Compares samples `first..last` of every series of a writer.
fn slice(client: &Client, shape: &Shape, writer: u32, first: u64, last: u64) -> Result<u64> {
    let window = shape.step * (last - first) as i64;
    let query = format!("{}[{window}ms]", Shape::metric(writer));
    let found = client.instant(&query, shape.time(last - 1), &[("dedup", "false")])?;
    let by_series: BTreeMap<&str, _> =
        found.iter().filter_map(|s| Some((s.metric.get("i")?.as_str(), &s.points))).collect();
    for i in 0..shape.series {
        let points = by_series.get(i.to_string().as_str());
        let n = points.map_or(0, |p| p.len()) as u64;
        ensure!(n == last - first, "{query} i={i}: {n} samples, acknowledged {}", last - first);
        for (k, (t, bits)) in (first..last).zip(points.into_iter().flat_map(|p| p.iter())) {
            let want = (shape.time(k), Shape::value(writer, i, k).to_bits());
            ensure!((*t, *bits) == want, "{query} i={i}: found ({t}, {bits:x}), acknowledged {want:x?}");
        }
    }
    Ok((last - first) * u64::from(shape.series))
}
