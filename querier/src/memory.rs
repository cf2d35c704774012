//! What stores said of themselves, kept in a file: a store that is gone since before this process started can
//! still be called by its site, and is missed only where it held something.
//!
//! ```json
//! {"version":1,"stores":{"10.0.0.7:10901":{"component":"receive","labelSets":[{"site":"dc-b"}],
//!   "minTime":1764000000000,"maxTime":9223372036854775807,"lastSuccess":1764031000000}}}
//! ```
//!
//! Times are milliseconds, both inclusive. A store that held nothing has no times. Keys that are not known are ignored.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dolmen_ctx::Disk;
use dolmen_model::{Context, Error, Kind, Labels, Result, TimeRange, Timestamp};
use dolmen_storeapi::StoreFacts;
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

/// What is remembered of one store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Remembered {
    pub facts: StoreFacts,
    pub last_success: Timestamp,
}

/// The file.
pub(crate) struct Memory {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    stores: BTreeMap<String, Store>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Store {
    component: String,
    label_sets: Vec<BTreeMap<String, String>>,
    min_time: Option<Timestamp>,
    max_time: Option<Timestamp>,
    #[serde(default)]
    end_stands_ms: i64,
    last_success: Timestamp,
}

impl Memory {
    pub fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Memory {
        Memory { disk, path }
    }

    /// What is there. A file that cannot be read is no reason not to start: it is told and written anew.
    pub fn load(&self) -> BTreeMap<String, Remembered> {
        let parsed = match self.disk.read(&self.path) {
            Ok(bytes) => parse(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return BTreeMap::new(),
            Err(e) => Err(e.into()),
        };
        parsed.unwrap_or_else(|e| {
            tracing::warn!(
                "{}: {e}; stores that are gone are called by their addresses",
                self.path.display()
            );
            BTreeMap::new()
        })
    }

    /// Writes it, whole or not at all.
    pub fn save(&self, stores: &BTreeMap<String, Remembered>) -> Result<()> {
        let stores = stores.iter().map(|(address, r)| (address.clone(), write(r))).collect();
        let bytes = serde_json::to_vec(&File { version: VERSION, stores })
            .map_err(|e| Error::wrap(Kind::Halt, "write JSON", e))?;
        let new = self.path.with_extension("tmp");
        let write = || -> io::Result<()> {
            let mut file = self.disk.create(&new)?;
            file.write_all(&bytes)?;
            file.sync()?;
            self.disk.rename(&new, &self.path)?;
            self.disk.sync_dir(self.path.parent().unwrap_or(Path::new(".")))
        };
        write().context(format_args!("write {}", self.path.display()))
    }
}

fn write(r: &Remembered) -> Store {
    let set = |l: &Labels| l.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    Store {
        component: r.facts.component.clone(),
        label_sets: r.facts.label_sets.iter().map(set).collect(),
        min_time: r.facts.range.map(TimeRange::mint),
        max_time: r.facts.range.map(|range| match range.maxt() {
            Timestamp::MAX => Timestamp::MAX,
            maxt => maxt - 1,
        }),
        end_stands_ms: r.facts.end_stands_ms,
        last_success: r.last_success,
    }
}

fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Remembered>> {
    let file: File = serde_json::from_slice(bytes).map_err(|e| Error::wrap(Kind::Corrupt, "read JSON", e))?;
    if file.version != VERSION {
        return Err(Error::corrupt(format!("version {}, expected {VERSION}", file.version)));
    }
    let one = |(address, s): (String, Store)| {
        let range = s.min_time.zip(s.max_time).and_then(|(mint, maxt)| TimeRange::inclusive(mint, maxt));
        let facts = StoreFacts {
            component: s.component,
            label_sets: s.label_sets.iter().map(Labels::from_pairs).collect(),
            range,
            end_stands_ms: s.end_stands_ms,
            // What it can do, it has to say itself before it is asked.
            ..StoreFacts::default()
        };
        (address, Remembered { facts, last_success: s.last_success })
    };
    Ok(file.stores.into_iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use dolmen_ctx::RealDisk;

    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_what_is_broken_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stores.json");
        let memory = Memory::new(Arc::new(RealDisk), path.clone());
        assert!(memory.load().is_empty());
        let remembered = |mint, maxt| Remembered {
            facts: StoreFacts {
                component: "receive".to_owned(),
                label_sets: vec![Labels::from_pairs([("site", "dc-b")]), Labels::empty()],
                range: TimeRange::new(mint, maxt),
                end_stands_ms: 9,
                ..StoreFacts::default()
            },
            last_success: 7,
        };
        let stores = BTreeMap::from([
            ("a:1".to_owned(), remembered(5, i64::MAX)),
            ("b:1".to_owned(), remembered(5, 6)),
            ("c:1".to_owned(), remembered(6, 6)),
        ]);
        memory.save(&stores).unwrap();
        assert_eq!(memory.load(), stores);
        for broken in ["", "{", "[]", r#"{"version":2,"stores":{}}"#] {
            std::fs::write(&path, broken).unwrap();
            assert!(memory.load().is_empty(), "{broken}");
        }
    }
}
