//! What a stripe accepted, on its way to the log.
//!
//! Records of one group are written in the order series, floats, kinds of histograms. A series whose samples
//! change their kind against that order gets a second group: in the log its samples stand as they were appended.

use std::collections::HashMap;
use std::ops::Range;

use dolmen_model::{Context, Result, Timestamp};
use dolmen_wal::{HistogramRec, SampleRec, Wal, encode};

use crate::canonical;
use crate::value::Value;

/// Reused from stripe to stripe.
#[derive(Default)]
pub struct Records {
    series: Vec<u8>,
    floats: Vec<SampleRec>,
    histograms: Vec<HistogramRec>,
    /// Series that have histograms in this group, and the kind of their newest one.
    kinds: HashMap<u64, u8>,
    encoded: Vec<u8>,
    records: Vec<Range<usize>>,
}

impl Records {
    /// Adds a new series, by its canonical label bytes.
    pub fn series(&mut self, wal_ref: u64, bytes: &[u8]) {
        if self.series.is_empty() {
            encode::series_begin(&mut self.series);
        }
        encode::series(&mut self.series, wal_ref, canonical::decode(bytes));
    }

    /// Adds a sample.
    pub fn sample(&mut self, reference: u64, t: Timestamp, value: Value<'_>) {
        match value {
            Value::Float(v) => {
                if self.kinds.contains_key(&reference) {
                    self.end_group();
                }
                self.floats.push(SampleRec { reference, t, v });
            }
            Value::Histogram(h) => {
                let kind = encode::histogram_kind(h);
                if self.kinds.get(&reference).is_some_and(|before| *before > kind) {
                    self.end_group();
                }
                self.kinds.insert(reference, kind);
                self.histograms.push(HistogramRec { reference, t, histogram: h.clone() });
            }
        }
    }

    fn end_group(&mut self) {
        let Records { series, floats, histograms, kinds, encoded, records } = self;
        if !series.is_empty() {
            let from = encoded.len();
            encoded.extend_from_slice(series);
            records.push(from..encoded.len());
        }
        if !floats.is_empty() {
            let from = encoded.len();
            encode::samples(encoded, floats);
            records.push(from..encoded.len());
        }
        if !histograms.is_empty() {
            encode::histograms(encoded, histograms, records);
        }
        series.clear();
        floats.clear();
        histograms.clear();
        kinds.clear();
    }

    /// Gives all to the log.
    pub fn enqueue(&mut self, wal: &Wal) -> Result<()> {
        self.end_group();
        if self.records.is_empty() {
            return Ok(());
        }
        let records: Vec<&[u8]> = self.records.iter().map(|r| &self.encoded[r.clone()]).collect();
        wal.enqueue(&records).context("write the log")?;
        self.encoded.clear();
        self.records.clear();
        Ok(())
    }
}
