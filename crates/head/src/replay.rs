//! The log -> memory, at start.
//!
//! Samples of a series come in the order in which they were appended. Those below their stream's floor are in
//! a block already; those that a checkpoint and a segment both hold are skipped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dolmen_model::{Labels, Result, Timestamp};
use dolmen_wal::{Record, Replay};

use crate::canonical;
use crate::head::Head;
use crate::series::Hot;
use crate::stream::Stream;
use crate::value::{Outcome, Value};

/// Reads the log into an empty head.
pub fn run(head: &Head, replay: Replay) -> Result<()> {
    let mut state = State {
        head,
        places: HashMap::default(),
        streams: Vec::new(),
        last_ref: 0,
        bytes: Vec::new(),
        unknown: 0,
    };
    let mut samples = 0u64;
    replay.run(|record| {
        match record {
            Record::Series(all) => all.into_iter().try_for_each(|s| state.series(s.reference, &s.labels))?,
            Record::Samples(all) => {
                samples += all.len() as u64;
                all.iter().for_each(|s| state.sample(s.reference, s.t, Value::Float(s.v)));
            }
            Record::Histograms(all) => {
                samples += all.len() as u64;
                all.iter().for_each(|s| state.sample(s.reference, s.t, Value::Histogram(&s.histogram)));
            }
            // What Prometheus may have logged beside: deleted ranges, exemplars, metadata.
            _ => {}
        }
        Ok(())
    })?;
    if state.unknown > 0 {
        tracing::warn!(samples = state.unknown, "the log has samples whose series it does not have");
        head.metrics.unknown_refs.inc_by(state.unknown);
    }
    head.next_ref.fetch_max(state.last_ref + 1, Ordering::Relaxed);
    head.metrics.replayed.inc_by(samples);
    if samples > 0 {
        tracing::info!(samples, series = head.series(), "log replayed");
    }
    Ok(())
}

struct State<'a> {
    head: &'a Head,
    places: HashMap<u64, (usize, u32), foldhash::fast::RandomState>,
    streams: Vec<Arc<Stream>>,
    last_ref: u64,
    bytes: Vec<u8>,
    unknown: u64,
}

impl State<'_> {
    fn series(&mut self, wal_ref: u64, labels: &Labels) -> Result<()> {
        self.last_ref = self.last_ref.max(wal_ref);
        self.bytes.clear();
        canonical::encode(labels.as_ref(), &mut self.bytes);
        let key = self.head.hasher.key(&self.bytes);
        let at = self.head.stripe_of(key);
        let mut stripe = self.head.stripes[at].lock();
        let local = match stripe.find(key) {
            Some(local) => {
                let before = std::mem::replace(&mut stripe.hot_mut(local).wal_ref, wal_ref);
                if before != wal_ref {
                    let mut aliases = self.head.aliases.lock();
                    aliases.remove(&wal_ref);
                    aliases.values_mut().filter(|to| **to == before).for_each(|to| *to = wal_ref);
                    aliases.insert(before, wal_ref);
                }
                local
            }
            None => {
                let Some(stream) = self.head.stream_of(labels.iter()) else {
                    return Err(dolmen_model::Error::invalid(format!(
                        "the log holds more than {} replicas: give their label with --receive.replica-label only \
                         where it tells replicas apart",
                        crate::STREAMS_MAX
                    )));
                };
                self.head.create(&mut stripe, Hot::new(key, wal_ref, stream.id), labels.iter())
            }
        };
        self.places.insert(wal_ref, (at, local));
        Ok(())
    }

    fn sample(&mut self, wal_ref: u64, t: Timestamp, value: Value<'_>) {
        let Some((at, local)) = self.places.get(&wal_ref) else {
            self.unknown += 1;
            return;
        };
        let mut stripe = self.head.stripes[*at].lock();
        let id = stripe.hot(*local).stream as usize;
        if id >= self.streams.len() {
            self.streams = self.head.streams.all();
        }
        let stream = &self.streams[id];
        // A block holds it, or no block of ours could.
        if t < stream.floor().max(0) || t / self.head.settings.block_ms > i64::from(u32::MAX) {
            return;
        }
        let range = self.head.range_of(t);
        let outcome = match value {
            Value::Float(v) => stripe.append_float(*local, t, v, range),
            Value::Histogram(h) => stripe.append_histogram(*local, t, h, range),
        };
        if outcome == Outcome::Stored {
            stream.saw(t, t);
        }
    }
}
