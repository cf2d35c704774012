//! How the newest samples are read.
//!
//! ```text
//! matchers -> postings -> label sets without replica labels -> sorted -> 256 at a time: chunks copied
//! ```
//! The sort compares ranks of strings, not strings: each string that occurs is ranked once.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use dolmen_ctx::{Ctx, Reservation};
use dolmen_model::{Answer, Completeness, Cover, LabelBlockBuilder, Matcher, Result, SourceId, TimeRange};
use dolmen_storage::{
    Frame, FrameStream, LabelAsk, Part, Queryable, RawBatch, RawSeries, SERIES_PER_BATCH_MAX, Select, Values,
};
use futures::stream;
use roaring::RoaringBitmap;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::head::Head;
use crate::index::Index;
use crate::readers::Reading;

/// The series of a select: label sets by rank of their strings.
struct Found {
    /// Strings by rank, sorted.
    strings: Vec<SmolStr>,
    /// Names and values of all series, by rank, without replica labels.
    pairs: Vec<(u32, u32)>,
    series: Vec<FoundSeries>,
}

#[derive(Clone)]
struct FoundSeries {
    id: u32,
    /// Where its pairs end.
    from: u32,
    to: u32,
    source: SourceId,
}

impl Found {
    fn pairs(&self, s: &FoundSeries) -> &[(u32, u32)] {
        &self.pairs[s.from as usize..s.to as usize]
    }

    fn bytes(&self) -> usize {
        self.strings.len() * size_of::<SmolStr>()
            + self.pairs.len() * size_of::<(u32, u32)>()
            + self.series.len() * size_of::<FoundSeries>()
    }
}

impl Head {
    /// Ids of the series that match; labels that the head adds count as theirs.
    fn matching(&self, index: &Index, matchers: &[Matcher]) -> RoaringBitmap {
        let external = &self.settings.external_labels;
        index.postings.select(&index.symbols, matchers.iter(), |name| external.get(name).unwrap_or_default())
    }

    /// Which series match and have samples in the range, sorted by their final label sets.
    fn find(&self, select: &Select) -> Found {
        let ids = self.matching(&self.index.read(), &select.matchers);
        let mut by_stripe: Vec<Vec<u32>> = vec![Vec::new(); self.stripes.len()];
        for id in ids {
            let (stripe, local) = self.place(id);
            by_stripe[stripe].push(local);
        }
        // Shapes and value symbols first, under one stripe's lock at a time.
        let mut shapes = Vec::new();
        let mut values = Vec::new();
        for (at, locals) in by_stripe.into_iter().enumerate() {
            if locals.is_empty() {
                continue;
            }
            let stripe = self.stripes[at].lock();
            for local in locals {
                let has_samples = stripe.is_live(local)
                    && stripe.hot(local).t_last >= select.range.mint()
                    && stripe.oldest(local).is_some_and(|t| t < select.range.maxt());
                if has_samples {
                    let shape = stripe.cold(local).shape;
                    let names = self.index.read().names(shape).len();
                    shapes.push((self.id(at, local), shape));
                    stripe.values(local, names, &mut values);
                }
            }
        }
        self.ranked(select, &shapes, &values)
    }

    fn ranked(&self, select: &Select, shapes: &[(u32, u32)], values: &[u32]) -> Found {
        let mut without: Vec<&SmolStr> = select.without.iter().collect();
        without.sort_unstable();
        without.dedup();
        let index = self.index.read();
        let external: Vec<(SmolStr, SmolStr)> =
            self.settings.external_labels.iter().map(|(n, v)| (SmolStr::from(n), SmolStr::from(v))).collect();
        let mut ranks = Ranks::default();
        let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(values.len() + shapes.len() * external.len());
        let mut series = Vec::with_capacity(shapes.len());
        let own: Vec<(u32, u32)> =
            external.iter().map(|(n, v)| (ranks.of_text(n.clone()), ranks.of_text(v.clone()))).collect();
        let without_refs: Vec<u32> = without.iter().map(|n| ranks.of_text((*n).clone())).collect();
        let mut sources: HashMap<Vec<u32>, SourceId> = HashMap::new();
        let mut values = values.iter();
        for (id, shape) in shapes {
            let from = pairs.len();
            pairs.extend(
                index
                    .names(*shape)
                    .iter()
                    .zip(&mut values)
                    .map(|(name, value)| (ranks.of_symbol(&index, *name), ranks.of_symbol(&index, *value))),
            );
            for pair in &own {
                // A series' own label stands before the head's.
                if !pairs[from..].iter().any(|(name, _)| *name == pair.0) {
                    pairs.push(*pair);
                }
            }
            let value_of =
                |name: &u32| pairs[from..].iter().find(|(n, _)| n == name).map_or(u32::MAX, |(_, v)| *v);
            let of_replica: Vec<u32> = without_refs.iter().map(value_of).collect();
            let source = sources.entry(of_replica).or_insert_with_key(|values| {
                SourceId::new(values.iter().zip(&without).map(
                    |(v, name)| match ranks.texts.get(*v as usize) {
                        Some(text) if !(*name == "dolmen" && text == "local") => text.as_str(),
                        _ => "",
                    },
                ))
            });
            let source = source.clone();
            let mut kept = from;
            for at in from..pairs.len() {
                if !without_refs.contains(&pairs[at].0) {
                    pairs[kept] = pairs[at];
                    kept += 1;
                }
            }
            pairs.truncate(kept);
            series.push(FoundSeries { id: *id, from: from as u32, to: kept as u32, source });
        }
        drop(index);
        let (strings, rank) = ranks.sorted();
        for (name, value) in &mut pairs {
            (*name, *value) = (rank[*name as usize], rank[*value as usize]);
        }
        for s in &series {
            pairs[s.from as usize..s.to as usize].sort_unstable();
        }
        let mut found = Found { strings, pairs, series: Vec::new() };
        series.sort_by(|a, b| found.pairs(a).cmp(found.pairs(b)).then_with(|| a.source.cmp(&b.source)));
        found.series = series;
        found
    }
}

/// Strings that occur, by the order in which they came.
#[derive(Default)]
struct Ranks {
    of_symbol: Vec<u32>,
    texts: Vec<SmolStr>,
    by_text: HashMap<SmolStr, u32>,
}

impl Ranks {
    fn of_text(&mut self, text: SmolStr) -> u32 {
        *self.by_text.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            self.texts.len() as u32 - 1
        })
    }

    fn of_symbol(&mut self, index: &Index, symbol: u32) -> u32 {
        if self.of_symbol.len() <= symbol as usize {
            self.of_symbol.resize(index.symbols.bound().max(symbol as usize + 1), u32::MAX);
        }
        let known = self.of_symbol[symbol as usize];
        if known != u32::MAX {
            return known;
        }
        let text = index.symbols.text(symbol).clone();
        // Only strings that were asked for by text stand there.
        let place = match self.by_text.get(&text) {
            Some(place) => *place,
            None => {
                self.texts.push(text);
                self.texts.len() as u32 - 1
            }
        };
        self.of_symbol[symbol as usize] = place;
        place
    }

    /// The strings sorted, and the rank of each.
    fn sorted(self) -> (Vec<SmolStr>, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.texts.len() as u32).collect();
        order.sort_unstable_by(|a, b| self.texts[*a as usize].cmp(&self.texts[*b as usize]));
        let mut rank = vec![0; order.len()];
        let strings = order.iter().map(|place| self.texts[*place as usize].clone()).collect();
        for (at, place) in (0u32..).zip(&order) {
            rank[*place as usize] = at;
        }
        (strings, rank)
    }
}

/// A select under way.
struct Cursor {
    head: Arc<Head>,
    ctx: Ctx,
    range: TimeRange,
    values: Values,
    left: u64,
    found: Found,
    at: usize,
    ord: u64,
    ended: bool,
    _held: Reservation,
    _reading: Reading,
}

impl Cursor {
    /// The next batch, or the end.
    fn next(&mut self) -> Result<Option<Frame>> {
        if self.ended {
            return Ok(None);
        }
        self.ctx.check()?;
        let mut labels = LabelBlockBuilder::default();
        let mut series = Vec::new();
        let mut bytes = 0;
        while series.len() < SERIES_PER_BATCH_MAX && self.at < self.found.series.len() && self.left > 0 {
            let from = self.at;
            let all = &self.found.series;
            let set = self.found.pairs(&all[from]);
            self.at = (from + 1..all.len()).find(|i| self.found.pairs(&all[*i]) != set).unwrap_or(all.len());
            let parts = self.parts(&all[from..self.at], &mut bytes);
            if parts.is_empty() && self.values == Values::Samples {
                continue;
            }
            let text = |r: u32| self.found.strings[r as usize].as_str();
            let label = labels.push(set.iter().map(|(n, v)| (text(*n), text(*v))));
            series.push(RawSeries { label, parts });
            self.left -= 1;
        }
        if series.is_empty() {
            self.ended = true;
            return Ok(Some(Frame::End(Completeness::default())));
        }
        let labels = labels.build();
        let held = self.ctx.budget.reserve((bytes + labels.bytes()) as u64)?;
        self.ord += 1;
        Ok(Some(Frame::Batch(RawBatch { ord: self.ord - 1, labels, series, held })))
    }

    fn parts(&self, same: &[FoundSeries], bytes: &mut usize) -> SmallVec<[Part; 1]> {
        let mut parts: SmallVec<[Part; 1]> = SmallVec::new();
        if self.values == Values::None {
            return parts;
        }
        for s in same {
            let (stripe, local) = self.head.place(s.id);
            let mut chunks = Vec::new();
            self.head.stripes[stripe].lock().chunks(local, self.range, &mut chunks);
            if chunks.is_empty() {
                continue;
            }
            *bytes += chunks.iter().map(|c| c.data.len() + size_of_val(c)).sum::<usize>() + size_of::<Part>();
            parts.push(Part { source: s.source.clone(), masked: Arc::from([]), chunks });
        }
        parts
    }
}

/// A head, as something to ask: once for each query. While it lives, nothing that was cut after its making is
/// forgotten; so who makes it first and looks for blocks then misses nothing.
pub struct HeadReader {
    head: Arc<Head>,
    _reading: Reading,
}

impl HeadReader {
    /// A query begins.
    pub fn new(head: Arc<Head>) -> HeadReader {
        HeadReader { _reading: head.readers.begin(), head }
    }
}

#[async_trait]
impl Queryable for HeadReader {
    fn cover(&self, select: &Select) -> Cover {
        Cover {
            labels: vec![self.head.settings.external_labels.clone()],
            range: self.head.range().and_then(|range| range.intersect(select.range)),
            ..Cover::default()
        }
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream> {
        ctx.check()?;
        let reading = self.head.readers.begin();
        let found = self.head.find(select);
        let cursor = Cursor {
            head: self.head.clone(),
            ctx: ctx.clone(),
            range: select.range,
            values: select.values,
            left: select.limit.map_or(u64::MAX, |l| l.get()),
            at: 0,
            ord: 0,
            ended: false,
            _held: ctx.budget.reserve(found.bytes() as u64)?,
            _reading: reading,
            found,
        };
        Ok(Box::pin(stream::unfold(cursor, |mut cursor| async {
            let frame = cursor.next().transpose()?;
            cursor.ended |= frame.is_err();
            Some((frame, cursor))
        })))
    }

    async fn labels(&self, ctx: &Ctx, select: &Select, ask: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        ctx.check()?;
        let found = self.head.find(select);
        let _held = ctx.budget.reserve(found.bytes() as u64)?;
        let mut seen = vec![false; found.strings.len()];
        let asked = match &ask {
            LabelAsk::Names => None,
            LabelAsk::Values(name) => match found.strings.binary_search(name) {
                Ok(rank) => Some(rank as u32),
                Err(_) => return Ok(Answer::whole(Vec::new())),
            },
        };
        for (name, value) in found.series.iter().flat_map(|s| found.pairs(s)) {
            match asked {
                None => seen[*name as usize] = true,
                Some(asked) if asked == *name => seen[*value as usize] = true,
                Some(_) => {}
            }
        }
        let out = found.strings.iter().zip(seen).filter(|(_, seen)| *seen).map(|(text, _)| text.clone());
        Ok(Answer::whole(out.take(select.limit.map_or(usize::MAX, |l| l.get() as usize)).collect()))
    }
}
