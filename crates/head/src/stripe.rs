//! A part of all series, by hash of their key: no lock is held over more than one.

use bytes::Bytes;
use dolmen_chunk::xor::MAX_APPEND_BYTES;
use dolmen_chunk::{
    Appended, Corrupt, Encoded, FloatHistogramEncoder, HistogramEncoder, ResetHeader, SAMPLES_PER_CHUNK,
    decode, decode_histograms, encode_floats, encode_histograms,
};
use dolmen_model::{Columns, Encoding, Histogram, TimeRange, Timestamp};
use dolmen_storage::RawChunk;
use hashbrown::HashTable;

use crate::series::{Closed, Cold, Hot, NONE, OpenKind, PAGE, Side};
use crate::slab::Slab;
use crate::value::{Outcome, Value, holds, same};

struct Page {
    hot: Box<[Hot]>,
    cold: Box<[Cold]>,
}

/// A part of all series.
#[derive(Default)]
pub struct Stripe {
    table: HashTable<u32>,
    pages: Vec<Page>,
    next: u32,
    free: Vec<u32>,
    /// Places of removed series, which a reader may still know.
    limbo: Vec<u32>,
    slab: Slab,
    arena: Vec<u8>,
    arena_dead: usize,
    closed: Vec<Closed>,
    closed_free: Vec<u32>,
    sides: Vec<Option<Box<Side>>>,
    sides_free: Vec<u32>,
}

fn table_hash(key: u128) -> u64 {
    key as u64
}

impl Stripe {
    /// The series of a key.
    pub fn find(&self, key: u128) -> Option<u32> {
        self.table.find(table_hash(key), |local| self.hot(*local).key == key).copied()
    }

    /// A new series; `values` are the symbols of its label values.
    pub fn create(&mut self, hot: Hot, shape: u32, values: impl Iterator<Item = u32>) -> u32 {
        let local = self.free.pop().unwrap_or_else(|| {
            if self.next as usize == self.pages.len() * PAGE {
                let hot = vec![Hot::new(0, 0, 0); PAGE].into_boxed_slice();
                let none = Cold { open_mint: 0, labels: 0, shape: 0, closed: NONE, side: NONE };
                self.pages.push(Page { hot, cold: vec![none; PAGE].into_boxed_slice() });
            }
            self.next += 1;
            self.next - 1
        });
        let labels = self.arena.len() as u32;
        for value in values {
            put_varint(&mut self.arena, value);
        }
        *self.hot_mut(local) = hot;
        *self.cold_mut(local) = Cold { open_mint: 0, labels, shape, closed: NONE, side: NONE };
        let (pages, hash) = (&self.pages, table_hash(hot.key));
        self.table.insert_unique(hash, local, |l| {
            table_hash(pages[*l as usize / PAGE].hot[*l as usize % PAGE].key)
        });
        local
    }

    /// Takes a series out; it has no chunk any more. `names` is the length of its tuple of names.
    pub fn remove(&mut self, local: u32, names: usize) {
        let key = self.hot(local).key;
        if let Ok(entry) = self.table.find_entry(table_hash(key), |l| *l == local) {
            entry.remove();
        }
        let start = self.cold(local).labels as usize;
        self.arena_dead += self.values_end(start, names) - start;
        *self.hot_mut(local) = Hot::new(0, 0, 0);
        self.limbo.push(local);
    }

    /// Places of series that were removed before may be taken again: no reader knows them any more.
    pub fn reuse(&mut self) {
        self.free.append(&mut self.limbo);
    }

    /// All series, by their place.
    pub fn live(&self) -> impl Iterator<Item = u32> + use<> {
        let live: Vec<u32> = (0..self.next).filter(|local| self.hot(*local).wal_ref != 0).collect();
        live.into_iter()
    }

    /// Whether there is a series at a place.
    pub fn is_live(&self, local: u32) -> bool {
        local < self.next && self.hot(local).wal_ref != 0
    }

    /// The part of a series that is touched often.
    pub fn hot(&self, local: u32) -> &Hot {
        &self.pages[local as usize / PAGE].hot[local as usize % PAGE]
    }

    /// The same, to change.
    pub fn hot_mut(&mut self, local: u32) -> &mut Hot {
        &mut self.pages[local as usize / PAGE].hot[local as usize % PAGE]
    }

    /// The part of a series that is seldom touched.
    pub fn cold(&self, local: u32) -> &Cold {
        &self.pages[local as usize / PAGE].cold[local as usize % PAGE]
    }

    fn cold_mut(&mut self, local: u32) -> &mut Cold {
        &mut self.pages[local as usize / PAGE].cold[local as usize % PAGE]
    }

    /// Appends the symbols of a series' label values.
    pub fn values(&self, local: u32, names: usize, out: &mut Vec<u32>) {
        let mut at = self.cold(local).labels as usize;
        for _ in 0..names {
            out.push(take_varint(&self.arena, &mut at));
        }
    }

    fn values_end(&self, mut at: usize, names: usize) -> usize {
        for _ in 0..names {
            take_varint(&self.arena, &mut at);
        }
        at
    }

    /// Copies labels out of an arena that is mostly dead. `names` tells the length of a shape.
    pub fn tidy(&mut self, names: impl Fn(u32) -> usize) {
        if self.arena_dead < 4096 || self.arena_dead * 2 < self.arena.len() {
            return;
        }
        let mut arena = Vec::with_capacity(self.arena.len() - self.arena_dead);
        for local in self.live() {
            let (start, shape) = (self.cold(local).labels as usize, self.cold(local).shape);
            let end = self.values_end(start, names(shape));
            self.cold_mut(local).labels = arena.len() as u32;
            arena.extend_from_slice(&self.arena[start..end]);
        }
        (self.arena, self.arena_dead) = (arena, 0);
    }

    /// Adds a float. `range` is the block range that `t` lies in.
    pub fn append_float(&mut self, local: u32, t: Timestamp, v: f64, range: u32) -> Outcome {
        let hot = *self.hot(local);
        if t <= hot.t_last {
            if t == hot.t_last && !hot.last_is_histogram {
                return if same(v, hot.v_last) { Outcome::Duplicate } else { Outcome::Conflict };
            }
            return self.older(local, t, Value::Float(v));
        }
        let fits = hot.kind == OpenKind::Xor && hot.range == range && usize::from(hot.n) < SAMPLES_PER_CHUNK;
        if !fits {
            self.close(local);
            let slot = self.slab.take(2 * MAX_APPEND_BYTES);
            let hot = self.hot_mut(local);
            hot.keep(dolmen_chunk::xor::State::default());
            (hot.chunk, hot.range, hot.kind) = (slot, range, OpenKind::Xor);
            self.cold_mut(local).open_mint = t;
        }
        let hot = *self.hot(local);
        let mut state = hot.state();
        let slot = self.slab.grow(hot.chunk, state.bytes(), state.bytes() + MAX_APPEND_BYTES);
        state.append(self.slab.get_mut(slot), t, v);
        let hot = self.hot_mut(local);
        hot.keep(state);
        (hot.chunk, hot.last_is_histogram) = (slot, false);
        Outcome::Stored
    }

    /// Adds a histogram. `range` is the block range that `t` lies in.
    pub fn append_histogram(&mut self, local: u32, t: Timestamp, h: &Histogram, range: u32) -> Outcome {
        let hot = *self.hot(local);
        if t <= hot.t_last {
            return self.older(local, t, Value::Histogram(h));
        }
        let mut header = ResetHeader::Unknown;
        if hot.kind == OpenKind::Histogram {
            let place = self.cold(local).side as usize;
            let room = hot.range == range && usize::from(hot.n) < SAMPLES_PER_CHUNK;
            let appended = match (self.sides[place].as_deref_mut(), h) {
                (Some(Side::Int(e)), Histogram::Int(h)) if room => e.append(t, h),
                (Some(Side::Float(e)), Histogram::Float(h)) if room => e.append(t, h),
                (Some(Side::Int(e)), Histogram::Int(h)) => Appended::NeedsNewChunk(e.next_header(h)),
                (Some(Side::Float(e)), Histogram::Float(h)) => Appended::NeedsNewChunk(e.next_header(h)),
                _ => Appended::NeedsNewChunk(ResetHeader::Unknown),
            };
            match appended {
                Appended::Added | Appended::Recoded => {
                    let hot = self.hot_mut(local);
                    (hot.t_last, hot.last_is_histogram) = (t, true);
                    hot.n += 1;
                    return Outcome::Stored;
                }
                Appended::NeedsNewChunk(next) => header = next,
            }
        }
        self.close(local);
        let side = match h {
            Histogram::Int(h) => {
                let mut e = HistogramEncoder::with_header(header);
                e.append(t, h);
                Side::Int(e)
            }
            Histogram::Float(h) => {
                let mut e = FloatHistogramEncoder::with_header(header);
                e.append(t, h);
                Side::Float(e)
            }
        };
        let place = self.sides_free.pop().unwrap_or_else(|| {
            self.sides.push(None);
            (self.sides.len() - 1) as u32
        });
        self.sides[place as usize] = Some(Box::new(side));
        let cold = self.cold_mut(local);
        (cold.side, cold.open_mint) = (place, t);
        let hot = self.hot_mut(local);
        (hot.t_last, hot.n, hot.range, hot.kind, hot.last_is_histogram) =
            (t, 1, range, OpenKind::Histogram, true);
        Outcome::Stored
    }

    /// The open chunk becomes a full one.
    pub fn close(&mut self, local: u32) {
        let Some(open) = self.open(local) else { return };
        let hot = *self.hot(local);
        match hot.kind {
            OpenKind::None => {}
            OpenKind::Xor => self.slab.give(hot.chunk),
            OpenKind::Histogram => {
                let place = std::mem::replace(&mut self.cold_mut(local).side, NONE);
                self.sides[place as usize] = None;
                self.sides_free.push(place);
            }
        }
        let RawChunk { mint, maxt, encoding, data } = open;
        let closed = Closed { mint, maxt, encoding, data, before: self.cold(local).closed };
        let place = self.put_closed(closed);
        self.cold_mut(local).closed = place;
        let hot = self.hot_mut(local);
        (hot.kind, hot.n, hot.bits) = (OpenKind::None, 0, 0);
    }

    /// A copy of the open chunk.
    fn open(&self, local: u32) -> Option<RawChunk> {
        let (hot, cold) = (self.hot(local), self.cold(local));
        let (encoding, data) = match hot.kind {
            OpenKind::None => return None,
            OpenKind::Xor => (Encoding::Xor, &self.slab.get(hot.chunk)[..hot.state().bytes()]),
            OpenKind::Histogram => {
                let side = self.sides[cold.side as usize].as_deref()?;
                (side.encoding(), side.data())
            }
        };
        Some(RawChunk {
            mint: cold.open_mint,
            maxt: hot.t_last,
            encoding,
            data: Bytes::copy_from_slice(data),
        })
    }

    fn closed(&self, local: u32) -> impl Iterator<Item = &Closed> {
        let mut place = self.cold(local).closed;
        std::iter::from_fn(move || {
            let closed = self.closed.get(place as usize)?;
            place = closed.before;
            Some(closed)
        })
    }

    /// Appends the chunks that reach into a range, by time.
    pub fn chunks(&self, local: u32, range: TimeRange, out: &mut Vec<RawChunk>) {
        let from = out.len();
        let (hot, cold) = (self.hot(local), self.cold(local));
        if hot.kind != OpenKind::None && hot.t_last >= range.mint() && cold.open_mint < range.maxt() {
            out.extend(self.open(local));
        }
        for c in self.closed(local) {
            if c.maxt < range.mint() {
                break;
            }
            if c.mint < range.maxt() {
                out.push(RawChunk { mint: c.mint, maxt: c.maxt, encoding: c.encoding, data: c.data.clone() });
            }
        }
        out[from..].reverse();
    }

    /// Time of the oldest sample held; `None` where there is no chunk.
    pub fn oldest(&self, local: u32) -> Option<Timestamp> {
        match self.closed(local).last() {
            Some(c) => Some(c.mint),
            None => (self.hot(local).kind != OpenKind::None).then(|| self.cold(local).open_mint),
        }
    }

    /// Drops the full chunks that end before `t`.
    pub fn drop_before(&mut self, local: u32, t: Timestamp) {
        let mut keep = Vec::new();
        let mut place = std::mem::replace(&mut self.cold_mut(local).closed, NONE);
        while place != NONE {
            let before = self.closed[place as usize].before;
            if self.closed[place as usize].maxt < t {
                self.closed[place as usize].data = Bytes::new();
                self.closed_free.push(place);
            } else {
                keep.push(place);
            }
            place = before;
        }
        for place in keep.into_iter().rev() {
            self.closed[place as usize].before = std::mem::replace(&mut self.cold_mut(local).closed, place);
        }
    }

    /// What is held at a time at or below the newest.
    pub fn older(&self, local: u32, t: Timestamp, value: Value<'_>) -> Outcome {
        let Some(at) = TimeRange::inclusive(t, t) else { return Outcome::Older };
        let mut chunks = Vec::new();
        self.chunks(local, at, &mut chunks);
        for chunk in &chunks {
            match holds(chunk, t, value) {
                Outcome::Older => {}
                outcome => return outcome,
            }
        }
        Outcome::Older
    }

    /// Bytes of memory that chunks take, for metrics: open ones, and full ones.
    pub fn chunk_bytes(&self) -> (usize, usize) {
        (self.slab.bytes(), self.closed.iter().map(|c| c.data.len()).sum())
    }

    /// Splits what reaches over `t`, so that no chunk has samples on both sides of it.
    pub fn split(&mut self, local: u32, t: Timestamp) {
        let reaches_over = |mint: Timestamp, maxt: Timestamp| mint < t && t <= maxt;
        let (hot, cold) = (self.hot(local), self.cold(local));
        if hot.kind != OpenKind::None && reaches_over(cold.open_mint, hot.t_last) {
            self.close(local);
        }
        let mut place = self.cold(local).closed;
        while place != NONE
            && !reaches_over(self.closed[place as usize].mint, self.closed[place as usize].maxt)
        {
            place = self.closed[place as usize].before;
        }
        let Some(whole) = self.closed.get(place as usize).cloned() else { return };
        // A chunk of our own decodes.
        let Ok(mut parts) = parted(&whole, t) else { return };
        let Some(last) = parts.pop() else { return };
        let mut before = whole.before;
        for part in parts {
            before = self.put_closed(Closed { before, ..part });
        }
        self.closed[place as usize] = Closed { before, ..last };
    }

    fn put_closed(&mut self, closed: Closed) -> u32 {
        match self.closed_free.pop() {
            Some(place) => {
                self.closed[place as usize] = closed;
                place
            }
            None => {
                self.closed.push(closed);
                (self.closed.len() - 1) as u32
            }
        }
    }
}

/// The samples of a chunk before `t` and from `t` on, as chunks by time.
fn parted(whole: &Closed, t: Timestamp) -> Result<Vec<Closed>, Corrupt> {
    let mut out = Vec::new();
    if whole.encoding == Encoding::Xor {
        for (from, to) in [(Timestamp::MIN, t), (t, Timestamp::MAX)] {
            let mut columns = Columns::default();
            decode(whole.encoding, &whole.data, from, to, &mut columns)?;
            encode_floats(&columns.t, &columns.v, SAMPLES_PER_CHUNK, &mut out);
        }
    } else {
        let mut before = decode_histograms(whole.encoding, &whole.data)?;
        let after = before.split_off(before.partition_point(|(at, _)| *at < t));
        encode_histograms(before, SAMPLES_PER_CHUNK, &mut out);
        encode_histograms(after, SAMPLES_PER_CHUNK, &mut out);
    }
    let closed =
        |e: Encoded| Closed { mint: e.mint, maxt: e.maxt, encoding: e.encoding, data: e.data, before: NONE };
    Ok(out.into_iter().map(closed).collect())
}

fn put_varint(out: &mut Vec<u8>, mut v: u32) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

fn take_varint(bytes: &[u8], at: &mut usize) -> u32 {
    let (mut v, mut shift) = (0u32, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        v |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return v;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dolmen_model::{FloatHistogram, HistLayout, IntHistogram, ResetHint, Span};
    use proptest::prelude::*;

    use super::*;

    /// A value for each kind: float, integer histogram, float histogram.
    fn append(stripe: &mut Stripe, local: u32, t: Timestamp, kind: u8) -> Outcome {
        let span = vec![Span { offset: 0, length: 1 }];
        let layout = Arc::new(HistLayout { schema: 1, positive_spans: span, ..HistLayout::default() });
        let (sum, hint, negative) = (t as f64, ResetHint::Unknown, Vec::new());
        match kind {
            0 => stripe.append_float(local, t, t as f64, 0),
            1 => {
                let (count, zero_count, positive_deltas, negative_deltas) =
                    (t as u64, 0, vec![t], Vec::new());
                let h =
                    IntHistogram { layout, count, zero_count, sum, hint, positive_deltas, negative_deltas };
                stripe.append_histogram(local, t, &Histogram::Int(h), 0)
            }
            _ => {
                let (count, zero_count, positive) = (t as f64, 0.0, vec![t as f64]);
                let h = FloatHistogram { layout, count, zero_count, sum, hint, positive, negative };
                stripe.append_histogram(local, t, &Histogram::Float(h), 0)
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_chunk_reaches_over_a_split(
            runs in prop::collection::vec((0u8..3, 1i64..200), 1..6),
            at in prop::collection::vec(prop_oneof![0i64..900, (0i64..8).prop_map(|n| n * 120)], 1..4),
            more in 0i64..5,
        ) {
            let mut stripe = Stripe::default();
            let local = stripe.create(Hot::new(7, 1, 0), 0, [1, 2].into_iter());
            let mut t = 0;
            for (kind, samples) in runs {
                for _ in 0..samples {
                    t += 1;
                    prop_assert_eq!(append(&mut stripe, local, t, kind), Outcome::Stored);
                }
            }
            // As a cut does it: what ends before is closed, so that nothing of what comes joins it; and what comes
            // is not before the cut.
            let at: Vec<Timestamp> = at.iter().map(|at| *at.min(&(t + 1))).collect();
            for at in &at {
                if t < *at { stripe.close(local) } else { stripe.split(local, *at) }
            }
            for _ in 0..more {
                t += 1;
                prop_assert_eq!(append(&mut stripe, local, t, 0), Outcome::Stored);
            }
            let mut chunks = Vec::new();
            stripe.chunks(local, TimeRange::ALL, &mut chunks);
            let mut times = Vec::new();
            for c in &chunks {
                prop_assert!(at.iter().all(|at| c.maxt < *at || *at <= c.mint), "{}..{} over {:?}", c.mint, c.maxt, at);
                let mut columns = Columns::default();
                decode(c.encoding, &c.data, i64::MIN, i64::MAX, &mut columns).unwrap();
                let values = columns.v.iter().chain(&columns.h.sum).map(|v| *v as i64);
                let of_chunk: Vec<i64> = columns.t.iter().chain(&columns.h.t).copied().collect();
                prop_assert!(values.eq(of_chunk.iter().copied()));
                prop_assert_eq!((of_chunk.first(), of_chunk.last()), (Some(&c.mint), Some(&c.maxt)));
                times.extend(of_chunk);
            }
            prop_assert!(times.into_iter().eq(1..=t), "each sample once, by time");
            // What ends before a split goes, the rest stays; the open chunk stays in any case.
            stripe.drop_before(local, at[0]);
            let first = stripe.oldest(local);
            prop_assert!(first.is_none() || at[0] > t || first == Some(at[0].max(1)), "{:?} {:?} {}", first, at, t);
        }
    }
}
