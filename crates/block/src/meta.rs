//! meta.json: what a block is, in the field order and with the omissions of Prometheus and Thanos.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use dolmen_model::{Error, Kind, Labels, Result, TimeRange, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use ulid::Ulid;

/// What a block is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Its name.
    pub ulid: Ulid,
    /// First millisecond that it covers.
    #[serde(rename = "minTime")]
    pub min_time: Timestamp,
    /// First millisecond after it.
    #[serde(rename = "maxTime")]
    pub max_time: Timestamp,
    /// What is in it.
    #[serde(default)]
    pub stats: Stats,
    /// Where it comes from.
    #[serde(default)]
    pub compaction: Compaction,
    /// Always 1.
    pub version: u32,
    /// What a bucket must know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<Thanos>,
}

/// Counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Stats {
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// Where a block comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// 1: cut from a head; a merged block's is one above the highest of its parents.
    pub level: u32,
    /// The level-1 blocks whose samples it holds, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub sources: Vec<Ulid>,
    /// It was compacted into nothing and may go.
    #[serde(skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// The blocks it was merged from.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub parents: Vec<Parent>,
    /// Its compaction failed.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
    /// `from-out-of-order` and the like, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub hints: Vec<String>,
}

/// A block that another was merged from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its name.
    pub ulid: Ulid,
    /// First millisecond that it covered.
    #[serde(rename = "minTime")]
    pub min_time: Timestamp,
    /// First millisecond after it.
    #[serde(rename = "maxTime")]
    pub max_time: Timestamp,
}

/// What a bucket must know of a block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thanos {
    /// 0 (left out) or 1.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub version: u32,
    /// External labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// Resolution.
    #[serde(default)]
    pub downsample: Downsample,
    /// Who made it: `receive`, `compactor`, `sidecar`.
    #[serde(default)]
    pub source: String,
    /// Deprecated: names of the chunk segments.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub segment_files: Vec<String>,
    /// The block's files, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub files: Vec<BlockFile>,
    /// Rewrites that it went through; passed on as they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub rewrites: Vec<Value>,
    /// Sizes that ranged reads use.
    #[serde(default)]
    pub index_stats: IndexStats,
    /// Notes of others; ours stand under `dolmen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
    /// When it was uploaded; year 1: not yet.
    #[serde(default = "never", serialize_with = "put_time")]
    pub upload_time: DateTime<Utc>,
}

impl Default for Thanos {
    fn default() -> Thanos {
        Thanos {
            version: 1,
            labels: BTreeMap::new(),
            downsample: Downsample::default(),
            source: String::new(),
            segment_files: Vec::new(),
            files: Vec::new(),
            rewrites: Vec::new(),
            index_stats: IndexStats::default(),
            extensions: None,
            upload_time: never(),
        }
    }
}

/// Resolution of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downsample {
    /// Milliseconds between samples; 0: raw.
    #[serde(default)]
    pub resolution: i64,
}

/// One file of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockFile {
    /// Path within the block: `chunks/000001`.
    pub rel_path: String,
    /// Its length; left out for meta.json.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size_bytes: u64,
    /// Its hash, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Value>,
}

/// Sizes that ranged reads use, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexStats {
    /// Longest series entry.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub series_max_size: u64,
    /// Longest chunk record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub chunk_max_size: u64,
}

impl Meta {
    /// Reads meta.json. Keys that are not known are passed over.
    pub fn parse(bytes: &[u8]) -> Result<Meta> {
        let meta: Meta =
            serde_json::from_slice(bytes).map_err(|e| Error::wrap(Kind::Corrupt, "parse meta.json", e))?;
        if meta.version != 1 {
            return Err(Error::corrupt(format!("meta.json has version {}, expected 1", meta.version)));
        }
        if let Some(thanos) = &meta.thanos
            && thanos.version > 1
        {
            return Err(Error::corrupt(format!(
                "meta.json has thanos version {}, expected 1",
                thanos.version
            )));
        }
        Ok(meta)
    }

    /// meta.json as Prometheus writes it; with a thanos section as Thanos does, which ends it with a newline.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut ser = serde_json::Serializer::with_formatter(&mut out, format);
        self.serialize(&mut ser).expect("a Vec takes all bytes, and all map keys are strings");
        let mut out = escape_as_go(out);
        if self.thanos.is_some() {
            out.push(b'\n');
        }
        out
    }

    /// Time that it covers; `None` where that is nothing.
    pub fn range(&self) -> Option<TimeRange> {
        TimeRange::new(self.min_time, self.max_time)
    }

    /// External labels; empty without a thanos section.
    pub fn external_labels(&self) -> Labels {
        self.thanos.as_ref().map_or_else(Labels::empty, |t| Labels::from_pairs(&t.labels))
    }

    /// Milliseconds between samples; 0: raw.
    pub fn resolution(&self) -> i64 {
        self.thanos.as_ref().map_or(0, |t| t.downsample.resolution)
    }

    /// Length of one of its files, where meta.json tells it.
    pub fn file_len(&self, rel_path: &str) -> Option<u64> {
        let file = self.thanos.as_ref()?.files.iter().find(|f| f.rel_path == rel_path)?;
        (file.size_bytes > 0).then_some(file.size_bytes)
    }
}

/// Go's encoder writes `<`, `>`, `&` and two line separators as escapes; outside strings JSON has none of them.
fn escape_as_go(json: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json.as_slice();
    while let Some((b, tail)) = rest.split_first() {
        match (b, tail) {
            (b'<', _) => out.extend_from_slice(b"\\u003c"),
            (b'>', _) => out.extend_from_slice(b"\\u003e"),
            (b'&', _) => out.extend_from_slice(b"\\u0026"),
            (0xe2, [0x80, last @ (0xa8 | 0xa9), after @ ..]) => {
                out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                rest = after;
                continue;
            }
            _ => out.push(*b),
        }
        rest = tail;
    }
    out
}

/// Go's zero time, which stands for "not uploaded".
pub fn never() -> DateTime<Utc> {
    DateTime::from_timestamp(-62_135_596_800, 0).expect("year 1 is within chrono's range")
}

/// RFC 3339 with as many digits of a second as it takes, as Go writes it.
fn put_time<S: Serializer>(time: &DateTime<Utc>, s: S) -> Result<S::Ok, S::Error> {
    if time.timestamp_subsec_nanos() == 0 {
        return s.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Secs, true));
    }
    let text = time.to_rfc3339_opts(SecondsFormat::Nanos, true);
    s.serialize_str(&format!("{}Z", text.trim_end_matches('Z').trim_end_matches('0')))
}

/// Go writes empty lists as `null`.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}
fn is_zero_u32(n: &u32) -> bool {
    *n == 0
}
fn is_false(b: &bool) -> bool {
    !*b
}
