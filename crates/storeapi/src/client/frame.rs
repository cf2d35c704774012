//! The frames of `Store.Series`, read in place: labels and chunks are parts of the frame until they are kept.
//!
//! Nothing here judges more than the form of bytes, and that a chunk can be one.

use std::cmp::Ordering;

use bytes::Bytes;
use dolmen_model::{Encoding, Error, LabelsRef, Result, TimeRange};
use dolmen_storage::RawChunk;

use super::wire::{Fields, Value, text};

/// Labels of one series: more than any that is real has.
const LABELS_MAX: usize = 1 << 14;

/// What stands in a frame.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A series, or a piece of one: the bytes of its message.
    Series(&'a [u8]),
    /// What the store lacks, in words.
    Warning(&'a str),
    /// How the store came to its answer: nothing that is needed.
    Hints,
    /// The end of the answer: the bytes of its message.
    End(&'a [u8]),
}

/// The items of a frame, in their order.
pub struct Items<'a> {
    frame: Fields<'a>,
    batch: Option<Fields<'a>>,
}

impl<'a> Items<'a> {
    /// Of a frame.
    pub fn of(frame: &'a [u8]) -> Items<'a> {
        Items { frame: Fields::of(frame), batch: None }
    }

    /// The next item; `None` at the end.
    pub fn next_item(&mut self) -> Result<Option<Item<'a>>> {
        loop {
            if let Some(batch) = &mut self.batch {
                match batch.next()? {
                    Some((1, Value::Bytes(series))) => return Ok(Some(Item::Series(series))),
                    Some(_) => continue,
                    None => self.batch = None,
                }
            }
            return Ok(Some(match self.frame.next()? {
                None => return Ok(None),
                Some((1, Value::Bytes(series))) => Item::Series(series),
                Some((2, Value::Bytes(warning))) => Item::Warning(text(warning, "a warning")?),
                Some((3, Value::Bytes(_))) => Item::Hints,
                Some((4, Value::Bytes(batch))) => {
                    self.batch = Some(Fields::of(batch));
                    continue;
                }
                Some((1000, Value::Bytes(end))) => Item::End(end),
                Some(_) => continue,
            }));
        }
    }
}

/// A label set as it came, in memory that is used again.
#[derive(Clone, Debug, Default)]
pub struct LabelText {
    text: String,
    /// Ends of names and values, in turn.
    ends: Vec<u32>,
}

impl LabelText {
    /// Names and values as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let end_before = |i: usize| if i == 0 { 0 } else { self.ends[i - 1] as usize };
        let at = move |i: usize| &self.text[end_before(i)..self.ends[i] as usize];
        (0..self.ends.len() / 2).map(move |i| (at(2 * i), at(2 * i + 1)))
    }

    /// The value of a label, the empty one where there is none.
    pub fn value(&self, name: &str) -> &str {
        self.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v)
    }

    /// The order of label sets.
    pub fn order(&self, other: &LabelText) -> Ordering {
        match self.ends == other.ends && self.text == other.text {
            true => Ordering::Equal,
            false => self.iter().cmp(other.iter()),
        }
    }

    /// Bytes of its strings, and of what keeps them.
    pub fn bytes(&self) -> u64 {
        (self.text.len() + 8 * self.ends.len()) as u64
    }

    /// As Prometheus prints it.
    pub fn display(&self) -> String {
        let labels = dolmen_model::Labels::from_pairs(self.iter());
        LabelsRef::to_string(&labels.as_ref())
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn push(&mut self, label: &[u8]) -> Result<()> {
        if self.ends.len() >= 2 * LABELS_MAX {
            return Err(Error::corrupt(format!("series with more than {LABELS_MAX} labels")));
        }
        let (mut name, mut value) = (&[][..], &[][..]);
        let mut fields = Fields::of(label);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(v)) => name = v,
                (2, Value::Bytes(v)) => value = v,
                _ => {}
            }
        }
        for (part, what) in [(name, "a label name"), (value, "a label value")] {
            self.text.push_str(text(part, what)?);
            let end = u32::try_from(self.text.len());
            self.ends.push(end.map_err(|_| Error::corrupt("labels of more than 4 GiB"))?);
        }
        Ok(())
    }
}

/// A series or a piece of one, in memory that is used again.
#[derive(Debug, Default)]
pub struct Piece {
    /// Its labels as they came.
    pub labels: LabelText,
    /// Its chunks: parts of the frame.
    pub chunks: Vec<RawChunk>,
    /// Whose the chunks are, run by run: the bytes of [`dolmen_model::SourceId::as_str`], and how many.
    pub runs: Vec<(Bytes, u32)>,
}

impl Piece {
    /// How many chunks and runs a series' message holds, at most: for the memory that they will take.
    pub fn count(series: &[u8]) -> Result<(usize, usize)> {
        let (mut chunks, mut runs) = (0, 0);
        let mut fields = Fields::of(series);
        while let Some((number, _)) = fields.next()? {
            chunks += usize::from(number == 2);
            runs += usize::from(number == 1000);
        }
        Ok((chunks, runs))
    }

    /// Reads a series' message, which lies within `frame`; without its chunks where they are not wanted.
    pub fn read(&mut self, frame: &Bytes, series: &[u8], chunks: bool) -> Result<()> {
        self.labels.clear();
        self.chunks.clear();
        self.runs.clear();
        let mut fields = Fields::of(series);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(label)) => self.labels.push(label)?,
                (2, Value::Bytes(chunk)) if chunks => self.chunks.push(read_chunk(frame, chunk)?),
                (1000, Value::Bytes(run)) if chunks => self.runs.push(read_run(frame, run)?),
                _ => {}
            }
        }
        Ok(())
    }
}

fn read_chunk(frame: &Bytes, message: &[u8]) -> Result<RawChunk> {
    let (mut mint, mut maxt, mut raw) = (0, 0, None);
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Varint(t)) => mint = t as i64,
            (2, Value::Varint(t)) => maxt = t as i64,
            (3, Value::Bytes(chunk)) => raw = Some(chunk),
            _ => {}
        }
    }
    let raw = raw.ok_or_else(|| Error::corrupt("chunk without raw samples"))?;
    let (mut encoding, mut data) = (0, &[][..]);
    let mut fields = Fields::of(raw);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Varint(v)) => encoding = v,
            (2, Value::Bytes(v)) => data = v,
            _ => {}
        }
    }
    // The StoreAPI counts from zero what the files count from one.
    let known = u8::try_from(encoding).ok().and_then(|e| Encoding::from_u8(e.checked_add(1)?));
    let encoding = known.ok_or_else(|| Error::corrupt(format!("chunk of unknown encoding {encoding}")))?;
    if mint > maxt {
        return Err(Error::corrupt(format!("chunk that begins at {mint} and ends at {maxt}")));
    }
    if data.is_empty() {
        return Err(Error::corrupt("chunk without data"));
    }
    Ok(RawChunk { mint, maxt, encoding, data: frame.slice_ref(data) })
}

fn read_run(frame: &Bytes, message: &[u8]) -> Result<(Bytes, u32)> {
    let (mut source, mut chunks) = (&[][..], 0);
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(v)) => source = v,
            (2, Value::Varint(v)) => chunks = v as u32,
            _ => {}
        }
    }
    text(source, "a source")?;
    let source = if source.is_empty() { Bytes::new() } else { frame.slice_ref(source) };
    Ok((source, chunks))
}

/// One lack of an answer, as the store tells it: site and store are empty where it means itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack<'a> {
    /// The datacenter.
    pub site: &'a str,
    /// The store.
    pub store: &'a str,
    /// Time that is missing.
    pub range: TimeRange,
    /// Why.
    pub cause: &'a str,
}

impl<'a> Lack<'a> {
    /// Calls `each` with every lack in the end of an answer; in other messages they are the field `number`.
    pub fn all(message: &'a [u8], number: u32, mut each: impl FnMut(Lack<'a>) -> Result<()>) -> Result<()> {
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field {
                (n, Value::Bytes(lack)) if n == number => each(Lack::read(lack)?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read(message: &'a [u8]) -> Result<Lack<'a>> {
        let (mut site, mut store, mut cause) = ("", "", "");
        let (mut mint, mut maxt) = (0, 0);
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(v)) => site = text(v, "a site")?,
                (2, Value::Bytes(v)) => store = text(v, "a store")?,
                (3, Value::Varint(v)) => mint = v as i64,
                (4, Value::Varint(v)) => maxt = v as i64,
                (5, Value::Bytes(v)) => cause = text(v, "a cause")?,
                _ => {}
            }
        }
        let backwards = || Error::corrupt(format!("missing time that begins at {mint} and ends at {maxt}"));
        let range = TimeRange::inclusive(mint, maxt).ok_or_else(backwards)?;
        Ok(Lack { site, store, range, cause })
    }
}
