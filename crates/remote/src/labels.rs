//! What a received label set becomes before a series gets its key.
//!
//! 1. Names are sorted; a name twice, an empty name, text that is no UTF-8, or a set without a metric name
//!    spoils the series.
//! 2. Labels with an empty value are no labels.
//! 3. A label named like one of the receiver's own: with the same value it is left out, since the block carries
//!    it; with another value it is renamed `exported_<name>`, as Prometheus does at a scrape.
//!
//! A set that needs none of this, and whose bytes are canonical, is used where it lies.

use std::ops::Range;

use dolmen_model::{Labels, METRIC_NAME};
use dolmen_storage::LabelBytes;
use smol_str::SmolStr;

use crate::wire::{BYTES, Reader, put_varint, varint_len};
use dolmen_model::Result;

/// Most bytes of a canonical label set.
pub const LABEL_SET_BYTES_MAX: usize = 64 << 10;

/// Longest text of a series in an error.
const SERIES_TEXT_MAX: usize = 400;

/// The labels that the receiver gives to all its series.
#[derive(Clone, Debug, Default)]
pub struct LabelRules {
    external: Vec<(SmolStr, SmolStr)>,
}

impl LabelRules {
    /// With the receiver's external labels.
    pub fn new(external: &Labels) -> LabelRules {
        LabelRules { external: external.iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }

    fn external(&self, name: &[u8]) -> Option<&str> {
        self.external.iter().find(|(n, _)| n.as_bytes() == name).map(|(_, v)| v.as_str())
    }
}

/// A label as it lies in the body.
type Pair = (Range<usize>, Range<usize>);

/// The labels of one series message, gathered field by field. Reused from series to series.
#[derive(Default)]
pub(crate) struct LabelSet {
    pairs: Vec<Pair>,
    /// From the first label's field to the last one's end.
    lies: Range<usize>,
    /// Whether the bytes seen so far are canonical, but for the rules.
    in_place: bool,
}

impl LabelSet {
    /// Begins a series.
    pub(crate) fn clear(&mut self) {
        self.pairs.clear();
        self.in_place = true;
    }

    /// Takes the label message in `range`, whose field began at `field`.
    pub(crate) fn push(&mut self, body: &[u8], field: usize, range: Range<usize>) -> Result<()> {
        let mut name = range.start..range.start;
        let mut value = name.clone();
        let mut r = Reader::new(body, range.clone());
        while let Some((number, wire)) = r.field()? {
            match (number, wire) {
                (1, BYTES) => name = r.bytes()?,
                (2, BYTES) => value = r.bytes()?,
                _ => r.skip(wire)?,
            }
        }
        // Only one way of writing these two strings has this length and this order.
        let inner =
            2 + varint_len(name.len() as u64) + varint_len(value.len() as u64) + name.len() + value.len();
        let least = 1 + varint_len(inner as u64) + inner;
        let follows = self.pairs.is_empty() || self.lies.end == field;
        let ascends = self.pairs.last().is_none_or(|(last, _)| body[last.clone()] < body[name.clone()]);
        self.in_place &= follows && ascends && range.end - field == least && name.end < value.start;
        self.in_place &= !name.is_empty() && !value.is_empty();
        if self.pairs.is_empty() {
            self.lies.start = field;
        }
        self.lies.end = range.end;
        self.pairs.push((name, value));
        Ok(())
    }

    /// The canonical bytes: in the body where they lie so, else appended to `side`. `Err` names what is wrong.
    pub(crate) fn settle(
        &mut self,
        body: &[u8],
        rules: &LabelRules,
        side: &mut Vec<u8>,
        renamed: &mut u64,
    ) -> std::result::Result<LabelBytes, &'static str> {
        if !self.is_utf8(body) {
            return Err("a label is no UTF-8");
        }
        let ruled = self.pairs.iter().any(|(n, _)| rules.external(&body[n.clone()]).is_some());
        if self.in_place && !ruled {
            if !self.pairs.iter().any(|(n, _)| &body[n.clone()] == METRIC_NAME.as_bytes()) {
                return Err("no metric name");
            }
            if self.lies.len() > LABEL_SET_BYTES_MAX {
                return Err("label set is too long");
            }
            return Ok(LabelBytes::Body(self.lies.start as u32..self.lies.end as u32));
        }
        self.encode_anew(body, rules, side, renamed)
    }

    fn is_utf8(&self, body: &[u8]) -> bool {
        // Lengths below 128 are ASCII too, so that one look at all of it is mostly enough.
        (self.in_place && body[self.lies.clone()].is_ascii())
            || self.pairs.iter().all(|(n, v)| {
                std::str::from_utf8(&body[n.clone()]).is_ok() && std::str::from_utf8(&body[v.clone()]).is_ok()
            })
    }

    fn encode_anew(
        &mut self,
        body: &[u8],
        rules: &LabelRules,
        side: &mut Vec<u8>,
        renamed: &mut u64,
    ) -> std::result::Result<LabelBytes, &'static str> {
        self.pairs.sort_by(|(a, _), (b, _)| body[a.clone()].cmp(&body[b.clone()]));
        if self.pairs.iter().any(|(n, _)| n.is_empty()) {
            return Err("a label without a name");
        }
        if self.pairs.windows(2).any(|w| body[w[0].0.clone()] == body[w[1].0.clone()]) {
            return Err("a label name twice");
        }
        let mut set: Vec<(Vec<u8>, &[u8])> = Vec::with_capacity(self.pairs.len());
        let mut moved: Vec<(&[u8], &[u8])> = Vec::new();
        for (n, v) in &self.pairs {
            let (name, value) = (&body[n.clone()], &body[v.clone()]);
            match rules.external(name) {
                _ if value.is_empty() => {}
                Some(own) if own.as_bytes() == value => {}
                Some(_) => moved.push((name, value)),
                None => set.push((name.to_vec(), value)),
            }
        }
        for (name, value) in moved {
            let mut name = [b"exported_", name].concat();
            while rules.external(&name).is_some() || set.iter().any(|(n, _)| *n == name) {
                name = [b"exported_", name.as_slice()].concat();
            }
            set.push((name, value));
            *renamed += 1;
        }
        set.sort();
        if !set.iter().any(|(n, _)| n == METRIC_NAME.as_bytes()) {
            return Err("no metric name");
        }
        let start = side.len();
        for (name, value) in &set {
            put_label(side, name, value);
        }
        if side.len() - start > LABEL_SET_BYTES_MAX {
            side.truncate(start);
            return Err("label set is too long");
        }
        Ok(LabelBytes::Side(start as u32..side.len() as u32))
    }

    /// The series as it came, as Prometheus prints it; shortened where it is long.
    pub(crate) fn text(&self, body: &[u8]) -> SmolStr {
        let pairs = self.pairs.iter().map(|(n, v)| (&body[n.clone()], &body[v.clone()]));
        let mut out = String::from("{");
        for (i, (name, value)) in pairs.enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            // Longer texts are cut before they are copied, not after.
            let cut = |b: &[u8]| String::from_utf8_lossy(&b[..b.len().min(SERIES_TEXT_MAX)]).into_owned();
            out.push_str(&format!("{}={:?}", cut(name), cut(value)));
            if out.len() > SERIES_TEXT_MAX {
                let end = (0..=SERIES_TEXT_MAX).rev().find(|i| out.is_char_boundary(*i)).unwrap_or(0);
                out.truncate(end);
                out.push('…');
                return out.into();
            }
        }
        out.push('}');
        out.into()
    }
}

/// Appends a label as it stands in canonical bytes.
pub(crate) fn put_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let (n, v) = (name.len() as u64, value.len() as u64);
    let inner = 2 + varint_len(n) + varint_len(v) + name.len() + value.len();
    out.push(0x0a);
    put_varint(out, inner as u64);
    out.push(0x0a);
    put_varint(out, n);
    out.extend_from_slice(name);
    out.push(0x12);
    put_varint(out, v);
    out.extend_from_slice(value);
}
