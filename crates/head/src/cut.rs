//! Full block ranges become blocks.
//!
//! ```text
//! cut     raise the stream's floor -> close and collect chunks, stripe by stripe -> write the block -> floors.json
//! settle  wait for readers that began before -> drop the chunks -> drop series without chunks -> checkpoint
//! ```
//! Between the two the samples are in both places: whoever reads must know of the block before `settle` is called.
//! A crash at any point loses nothing: what a block holds is below its stream's floor and is not replayed, what
//! no block holds is in the log.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use dolmen_block::meta::{Compaction, Thanos};
use dolmen_block::{BlockWriter, ChunkIn, Meta, MetaSeed};
use dolmen_model::{Context, Labels, Result, TimeRange, Timestamp};
use dolmen_storage::RawChunk;
use smol_str::SmolStr;
use ulid::Ulid;

use crate::floors::{self, Floors};
use crate::head::Head;
use crate::stream::Stream;

/// What our blocks name as their source.
pub const BLOCK_SOURCE: &str = "receive";

/// What is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Ranges whose stream's newest sample is half a block past their end.
    Due,
    /// Everything.
    Flush,
}

/// A block that was cut.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Its meta.json.
    pub meta: Meta,
    /// Its directory.
    pub dir: PathBuf,
}

struct Collected {
    labels: Labels,
    chunks: Vec<RawChunk>,
}

/// What a walk over a stream's series found; `Timestamp::MAX` where there is none.
struct Walk {
    /// The chunks of a range by series, sorted by labels without those of the stream.
    series: Vec<Collected>,
    /// The oldest sample in memory, cut or not.
    oldest: Timestamp,
    /// The oldest sample that is not cut.
    first: Timestamp,
    /// The oldest sample after the range.
    next: Timestamp,
}

impl Head {
    /// Whether a cut would write anything.
    pub fn due(&self) -> bool {
        self.streams.all().iter().any(|s| self.next_range(s, s.newest(), s.oldest(), How::Due).is_some())
            || self.floors_changed.load(Ordering::Relaxed)
    }

    /// Writes blocks. Blocking. The blocks written before an error stay and are told.
    pub fn cut(&self, how: How) -> (Vec<Cut>, Result<()>) {
        let _one = self.cutting.lock();
        let began = Instant::now();
        let mut cuts = Vec::new();
        let mut result = Ok(());
        for stream in self.streams.all() {
            if let Err(e) = self.cut_stream(&stream, how, &mut cuts) {
                self.metrics.cut_failures.inc();
                result = Err(e);
            }
        }
        if !cuts.is_empty() {
            self.floors_changed.store(true, Ordering::Release);
        }
        if self.floors_changed.load(Ordering::Relaxed) {
            match floors::write(&*self.disk, &self.settings.wal_dir, &self.floors()) {
                Ok(()) => self.floors_changed.store(false, Ordering::Release),
                Err(e) => result = Err(e),
            }
        }
        self.metrics.cuts.inc_by(cuts.len() as u64);
        self.metrics.cut_seconds.inc_by(began.elapsed().as_secs_f64());
        (cuts, result)
    }

    fn floors(&self) -> Floors {
        let streams = self.streams.all();
        streams.iter().filter(|s| s.floor() > i64::MIN).map(|s| (s.labels.clone(), s.floor())).collect()
    }

    /// The first range from `oldest` on that may be cut where `newest` is the newest sample.
    fn next_range(
        &self,
        stream: &Stream,
        newest: Timestamp,
        oldest: Timestamp,
        how: How,
    ) -> Option<TimeRange> {
        let block = self.settings.block_ms;
        // What was cut may be in memory still.
        let oldest = oldest.max(stream.floor());
        if oldest > newest {
            return None;
        }
        let start = oldest - oldest.rem_euclid(block);
        let end = match how {
            How::Due if newest >= start + block + block / 2 => start + block,
            How::Due => return None,
            How::Flush => (start + block).min(newest + 1),
        };
        TimeRange::new(start.max(stream.floor()), end)
    }

    fn cut_stream(&self, stream: &Arc<Stream>, how: How, cuts: &mut Vec<Cut>) -> Result<()> {
        // Read once: what comes meanwhile is for the next cut, so this one ends.
        let newest = stream.newest();
        let mut oldest = stream.oldest();
        while let Some(range) = self.next_range(stream, newest, oldest, how) {
            let before = stream.floor();
            // From here on nothing can come below the range's end.
            stream.raise_floor(range.maxt());
            stream.begin_walk();
            let Walk { series, oldest: held, first, next } = self.walk(stream, before, range);
            if first < range.mint() {
                // It came after `oldest` was read and before the floor stood: its range comes first.
                stream.restore_floor(before);
                oldest = first;
                continue;
            }
            if series.is_empty() {
                // What is cut and not forgotten is read from memory: its block may not be known yet.
                stream.end_walk(held);
            } else {
                match self.write_block(stream, range, series) {
                    Ok(cut) => cuts.push(cut),
                    Err(e) => {
                        stream.restore_floor(before);
                        return Err(e).context(format!("cut a block of {}", stream.labels));
                    }
                }
            }
            oldest = next;
        }
        Ok(())
    }

    /// Splits chunks at a range's end and gathers those of the range. `floor` is up to where the stream is cut.
    fn walk(&self, stream: &Stream, floor: Timestamp, range: TimeRange) -> Walk {
        let uncut = TimeRange::new(floor, Timestamp::MAX).unwrap_or(TimeRange::ALL);
        let (mut oldest, mut first, mut next) = (Timestamp::MAX, Timestamp::MAX, Timestamp::MAX);
        let mut out = Vec::new();
        let mut values = Vec::new();
        for stripe in &self.stripes {
            let mut stripe = stripe.lock();
            for local in stripe.live() {
                let hot = *stripe.hot(local);
                if hot.stream != stream.id {
                    continue;
                }
                if hot.t_last < range.maxt() {
                    stripe.close(local);
                } else {
                    stripe.split(local, range.maxt());
                }
                oldest = stripe.oldest(local).map_or(oldest, |t| oldest.min(t));
                let mut chunks = Vec::new();
                stripe.chunks(local, uncut, &mut chunks);
                first = chunks.first().map_or(first, |c| first.min(c.mint));
                let within = chunks.iter().take_while(|c| c.mint < range.maxt()).count();
                next = chunks.get(within).map_or(next, |c| next.min(c.mint));
                chunks.truncate(within);
                if chunks.is_empty() {
                    continue;
                }
                let index = self.index.read();
                let names = index.names(stripe.cold(local).shape);
                values.clear();
                stripe.values(local, names.len(), &mut values);
                let text = |symbol: u32| index.symbols.text(symbol).as_str();
                let pairs = names.iter().zip(&values).map(|(n, v)| (text(*n), text(*v)));
                let labels = Labels::from_sorted(pairs.filter(|(name, _)| stream.labels.get(name).is_none()));
                out.push(Collected { labels, chunks });
            }
        }
        out.sort_by(|a, b| a.labels.cmp(&b.labels));
        Walk { series: out, oldest, first, next }
    }

    fn write_block(&self, stream: &Stream, range: TimeRange, series: Vec<Collected>) -> Result<Cut> {
        let symbols: BTreeSet<&str> =
            series.iter().flat_map(|s| s.labels.iter()).flat_map(|(n, v)| [n, v]).collect();
        let ulid = Ulid::from_parts(self.clock.now().max(0) as u64, random()?);
        let parent = &self.settings.blocks_dir;
        let mut writer = BlockWriter::create(self.disk.clone(), parent, ulid, symbols)?;
        for s in &series {
            let chunks: Vec<_> = s
                .chunks
                .iter()
                .map(|c| ChunkIn { mint: c.mint, maxt: c.maxt, encoding: c.encoding, data: &c.data })
                .collect();
            writer.add_series(s.labels.as_ref(), &chunks)?;
        }
        let mut labels = self.settings.external_labels.edit();
        stream.labels.iter().for_each(|(name, value)| {
            labels.set(name, value);
        });
        let labels = labels.build().iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let meta = writer.finish(MetaSeed {
            min_time: range.mint(),
            max_time: range.maxt(),
            compaction: Compaction { level: 1, sources: vec![ulid], ..Compaction::default() },
            thanos: Some(Thanos { version: 1, labels, source: BLOCK_SOURCE.to_owned(), ..Thanos::default() }),
        })?;
        tracing::info!(
            block = %ulid, mint = range.mint(), maxt = range.maxt(), series = meta.stats.num_series,
            samples = meta.stats.num_samples, stream = %stream.labels, "block cut"
        );
        Ok(Cut { dir: parent.join(ulid.to_string()), meta })
    }

    /// Labels whose values make a stream, and those of the head: what a cut block's labels are made of.
    pub fn stream_labels(&self) -> &[SmolStr] {
        &self.settings.stream_labels
    }
}

fn random() -> Result<u128> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| {
        dolmen_model::Error::new(dolmen_model::Kind::Halt, format!("draw a random number: {e}"))
    })?;
    Ok(u128::from_le_bytes(bytes))
}
