//! `interval`: stays with one replica until it misses a scrape, then fills from another.
//!
//! ```text
//! a  x    x    x              x    x
//! b    y    y    y    y    y    y    y
//!    x    x    x      y    y    y    y     half an interval after the last x at the earliest
//! ```
//!
//! What it keeps: every sample given is one replica's; no gap is longer than two intervals unless all replicas
//! had it; a counter falls only where some replica saw it fall; a series ends (stale marker) only where no
//! replica goes on.

use dolmen_model::{Columns, HistColumns, ResetHint, Timestamp, is_stale};

use crate::{Class, Combine, Merging};

mod learn;
mod sample;
#[cfg(test)]
mod tests;

use sample::{Kind, Place, Sample, lower, next};

/// Deduplicates by the scrape intervals that it learns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interval;

impl Combine for Interval {
    fn start(&self, class: Class, parts: usize) -> Box<dyn Merging> {
        let parts = vec![Columns::default(); parts];
        Box::new(Stream { picker: Picker::new(class, parts.len()), parts })
    }
}

/// Whole replicas become one series; their samples end before `until`.
pub fn combine(class: Class, parts: &[Columns], until: Timestamp, out: &mut Columns) {
    Picker::new(class, parts.len()).run(parts, until, out);
}

/// Replicas that come chunk by chunk.
struct Stream {
    picker: Picker,
    parts: Vec<Columns>,
}

impl Merging for Stream {
    fn push(&mut self, part: usize, samples: &Columns) {
        let to = &mut self.parts[part];
        to.t.extend_from_slice(&samples.t);
        to.v.extend_from_slice(&samples.v);
        for i in 0..samples.h.len() {
            to.h.push_from(&samples.h, i, samples.h.hint[i]);
        }
    }

    fn pull(&mut self, until: Timestamp, out: &mut Columns) {
        self.picker.run(&self.parts, until, out);
        self.picker.forget(&mut self.parts);
    }
}

/// Samples that are done with are dropped once there are so many.
const FORGET: usize = 512;

/// What was given last that is no stale marker.
#[derive(Clone, Copy)]
struct Given {
    part: usize,
    sample: Sample,
}

/// Decides sample by sample.
struct Picker {
    class: Class,
    /// The next sample of each replica. Only the active one's is kept up to date.
    at: Vec<Place>,
    active: usize,
    /// Time of the last sample given.
    last: Option<Timestamp>,
    /// Whether that was a stale marker.
    ended: bool,
    given: Option<Given>,
    /// The scrape interval; 0 is not known.
    interval: i64,
}

impl Picker {
    fn new(class: Class, parts: usize) -> Picker {
        Picker {
            class,
            at: vec![Place::default(); parts],
            active: 0,
            last: None,
            ended: false,
            given: None,
            interval: 0,
        }
    }

    fn run(&mut self, parts: &[Columns], until: Timestamp, out: &mut Columns) {
        while let Some((part, sample)) = self.decide(parts, until) {
            self.give(parts, part, sample, out);
        }
    }

    /// The next sample to give; `None` where what is known does not suffice, or nothing is left.
    fn decide(&mut self, parts: &[Columns], until: Timestamp) -> Option<(usize, Sample)> {
        let Some(last) = self.last else { return self.first(parts, until) };
        if self.ended {
            return self.again(parts, until);
        }
        let own = next(parts.get(self.active)?, self.at[self.active]).filter(|s| s.t < until);
        if let Some(s) = own.filter(|s| !s.stale) {
            let delta = s.t.saturating_sub(last);
            // Much nearer than the interval says: it may have become shorter.
            if delta <= grace(self.interval) && delta >= self.interval / 2 {
                return Some((self.active, s));
            }
        }
        self.catch_up(parts, last);
        self.interval = learn::interval(parts, &self.at);
        match own {
            Some(s) if !s.stale && s.t.saturating_sub(last) <= grace(self.interval) => Some((self.active, s)),
            Some(s) if s.stale => self.ending(parts, s, until),
            _ => self.missed(parts, own, until),
        }
    }

    /// The replica that begins first; of equal ones the first.
    fn first(&mut self, parts: &[Columns], until: Timestamp) -> Option<(usize, Sample)> {
        let firsts = parts.iter().enumerate().filter_map(|(p, c)| {
            let mut place = Place::default();
            loop {
                let s = next(c, place)?;
                if !s.stale {
                    return Some((p, s));
                }
                place.pass(s);
            }
        });
        firsts.filter(|(_, s)| s.t < until).min_by_key(|(_, s)| s.t)
    }

    /// After the end of a series: whoever sees it first again.
    fn again(&mut self, parts: &[Columns], until: Timestamp) -> Option<(usize, Sample)> {
        let last = self.last?;
        self.catch_up(parts, last);
        self.earliest(parts, last, until, None)
    }

    /// The active replica says that the series has ended; it has not where another goes on.
    fn ending(&mut self, parts: &[Columns], marker: Sample, until: Timestamp) -> Option<(usize, Sample)> {
        let last = self.last?;
        let deadline = marker.t.saturating_add(grace(self.interval));
        match self.earliest(parts, last.saturating_add(self.interval / 2), until, Some(self.active)) {
            Some(other) if other.1.t <= deadline => Some(other),
            Some(_) => Some((self.active, marker)),
            None => (until > deadline).then_some((self.active, marker)),
        }
    }

    /// The active replica has no sample in time.
    fn missed(
        &mut self,
        parts: &[Columns],
        own: Option<Sample>,
        until: Timestamp,
    ) -> Option<(usize, Sample)> {
        let last = self.last?;
        if own.is_none() && until <= last.saturating_add(grace(self.interval)) {
            return None;
        }
        let other = self.earliest(parts, last.saturating_add(self.interval / 2), until, Some(self.active));
        let own = own.map(|s| (self.active, s));
        let best = match (own, other) {
            (Some(own), Some(other)) => Some(if own.1.t <= other.1.t { own } else { other }),
            (own, other) => own.or(other),
        };
        let far = last.saturating_add(self.interval.saturating_mul(2));
        match best {
            Some((_, s)) if s.t <= far => best,
            None if until <= far => None,
            // A sample that nearly repeats the last one is better than a gap that not all replicas had.
            _ => self
                .earliest(
                    parts,
                    last,
                    until.min(last.saturating_add(self.interval / 2).saturating_add(1)),
                    Some(self.active),
                )
                .or(best),
        }
    }

    /// The earliest sample in `(from, until)` that may follow what was given.
    fn earliest(
        &self,
        parts: &[Columns],
        from: Timestamp,
        until: Timestamp,
        but: Option<usize>,
    ) -> Option<(usize, Sample)> {
        let others = (0..parts.len()).filter(|p| Some(*p) != but);
        let found = others.filter_map(|p| Some((p, self.follower(parts, p, from, until)?)));
        found.min_by_key(|(_, s)| s.t)
    }

    /// The first sample of a replica in `(from, until)` that may follow what was given.
    fn follower(&self, parts: &[Columns], p: usize, from: Timestamp, until: Timestamp) -> Option<Sample> {
        let c = &parts[p];
        let mut place = self.at[p];
        let mut before = sample::previous(c, place);
        let mut fell = false;
        loop {
            let s = next(c, place).filter(|s| s.t < until)?;
            place.pass(s);
            if s.stale {
                continue;
            }
            fell |= before.is_some_and(|b| lower(c, b, c, s));
            before = Some(s);
            if s.t > from && self.may_follow(parts, p, s, fell) {
                return Some(s);
            }
        }
    }

    /// Whether a sample of a replica may follow what was given. `fell` says that its replica saw a fall since.
    fn may_follow(&self, parts: &[Columns], p: usize, s: Sample, fell: bool) -> bool {
        let Some(given) = self.given.filter(|_| self.class != Class::Other) else { return true };
        let from = &parts[given.part];
        if given.part == p || fell || !lower(from, given.sample, &parts[p], s) {
            return true;
        }
        // The replica before may have seen the fall too.
        let falls = sample::following(from, given.sample).is_some_and(|n| lower(from, given.sample, from, n));
        let late =
            || self.last.is_some_and(|last| s.t > last.saturating_add(self.interval.saturating_mul(2)));
        falls || (self.class == Class::Named && late())
    }

    fn give(&mut self, parts: &[Columns], part: usize, sample: Sample, out: &mut Columns) {
        let from = &parts[part];
        match sample.kind {
            Kind::Float => {
                out.t.push(sample.t);
                out.v.push(from.v[sample.i]);
            }
            Kind::Histogram => out.h.push_from(&from.h, sample.i, self.hint(&from.h, part, sample)),
        }
        if part != self.active {
            self.active = part;
            self.interval = 0;
            while next(from, self.at[part]).is_some_and(|s| s.t < sample.t) {
                self.at[part].pass_one(from);
            }
        }
        while next(from, self.at[part]).is_some_and(|s| s.t <= sample.t) {
            self.at[part].pass_one(from);
        }
        (self.last, self.ended) = (Some(sample.t), sample.stale);
        if !sample.stale {
            self.given = Some(Given { part, sample });
        }
    }

    /// What a hint says about the sample before is true only if that was given too.
    fn hint(&self, h: &HistColumns, part: usize, sample: Sample) -> ResetHint {
        let kept = self.given.is_some_and(|g| {
            g.part == part && g.sample.kind == Kind::Histogram && g.sample.i + 1 == sample.i
        });
        let hint = h.hint[sample.i];
        if kept || hint == ResetHint::Gauge || is_stale(h.sum[sample.i]) { hint } else { ResetHint::Unknown }
    }

    /// Moves all replicas behind the last sample given.
    fn catch_up(&mut self, parts: &[Columns], last: Timestamp) {
        for (c, at) in parts.iter().zip(&mut self.at) {
            while next(c, *at).is_some_and(|s| s.t <= last) {
                at.pass_one(c);
            }
        }
    }

    /// Drops samples that no decision needs any more.
    fn forget(&mut self, parts: &mut [Columns]) {
        if let Some(last) = self.last {
            self.catch_up(parts, last);
        }
        for (p, c) in parts.iter_mut().enumerate() {
            let mut keep = self.at[p].back(learn::NEAR);
            if let Some(given) = self.given.filter(|g| g.part == p) {
                match given.sample.kind {
                    Kind::Float => keep.float = keep.float.min(given.sample.i),
                    Kind::Histogram => keep.histogram = keep.histogram.min(given.sample.i),
                }
            }
            if keep.float + keep.histogram < FORGET {
                continue;
            }
            c.t.drain(..keep.float);
            c.v.drain(..keep.float);
            let all = std::mem::take(&mut c.h);
            for i in keep.histogram..all.len() {
                c.h.push_from(&all, i, all.hint[i]);
            }
            self.at[p].float -= keep.float;
            self.at[p].histogram -= keep.histogram;
            if let Some(given) = self.given.as_mut().filter(|g| g.part == p) {
                given.sample.i -= match given.sample.kind {
                    Kind::Float => keep.float,
                    Kind::Histogram => keep.histogram,
                };
            }
        }
    }
}

/// A scrape that is later than this has been missed.
fn grace(interval: i64) -> i64 {
    interval.saturating_add(interval / 2)
}
