//! Up to where each stream is cut, on disk: a restart must neither replay nor take what a block holds already.
//!
//! ```text
//! floors.json   [{"labels": {"prometheus_replica": "1"}, "floor": 1795330800000}, …]
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use dolmen_block::Meta;
use dolmen_ctx::Disk;
use dolmen_model::{Context, Error, Kind, Labels, Result, Timestamp};
use serde::{Deserialize, Serialize};

use crate::settings::HeadSettings;

const FILE: &str = "floors.json";

#[derive(Serialize, Deserialize)]
struct Entry {
    labels: BTreeMap<String, String>,
    floor: Timestamp,
}

/// Floors by stream labels.
pub type Floors = BTreeMap<Labels, Timestamp>;

/// Writes them; they are durable afterwards.
pub fn write(disk: &dyn Disk, dir: &Path, floors: &Floors) -> Result<()> {
    let entries: Vec<_> = floors
        .iter()
        .map(|(labels, floor)| Entry {
            labels: labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            floor: *floor,
        })
        .collect();
    let bytes = serde_json::to_vec(&entries).map_err(|e| Error::wrap(Kind::Halt, "encode floors", e))?;
    let tmp = dir.join("floors.json.tmp");
    let mut file = disk.create(&tmp).context("create floors.json.tmp")?;
    file.write_all(&bytes).and_then(|()| file.sync()).context("write floors.json.tmp")?;
    drop(file);
    disk.rename(&tmp, &dir.join(FILE)).and_then(|()| disk.sync_dir(dir)).context("rename floors.json")
}

/// Reads them: from the file, and from the blocks, whose cut the file may not know yet. And whether it knows all.
pub fn read(disk: &dyn Disk, settings: &HeadSettings) -> Result<(Floors, bool)> {
    let mut floors = Floors::new();
    let path = settings.wal_dir.join(FILE);
    if disk.exists(&path) {
        let bytes = disk.read(&path).context("read floors.json")?;
        let entries: Vec<Entry> = serde_json::from_slice(&bytes).map_err(|e| {
            Error::corrupt(format!(
                "{}: {e}; remove it only if no block of the last hours is lost",
                path.display()
            ))
        })?;
        floors.extend(entries.into_iter().map(|e| (Labels::from_pairs(&e.labels), e.floor)));
    }
    let written = floors.clone();
    if disk.is_dir(&settings.blocks_dir) {
        for name in disk.list(&settings.blocks_dir).context("list blocks")? {
            let path = settings.blocks_dir.join(&name).join("meta.json");
            if ulid::Ulid::from_string(&name).is_err() || !disk.exists(&path) {
                continue;
            }
            let bytes = disk.read(&path).context("read meta.json")?;
            let meta = match Meta::parse(&bytes) {
                Ok(meta) => meta,
                // Ours are whole before they get their name, and their cut stands in the file as well.
                Err(e) => {
                    tracing::error!(path = %path.display(), "not taken for a block that was cut: {e}");
                    continue;
                }
            };
            // Blocks that were put here by others, or compacted, end below a cut of ours or belong to no stream.
            if meta.thanos.as_ref().is_none_or(|t| t.source != crate::cut::BLOCK_SOURCE) {
                continue;
            }
            let labels = stream_labels(settings, &meta.external_labels());
            let floor = floors.entry(labels).or_insert(i64::MIN);
            *floor = (*floor).max(meta.max_time);
        }
    }
    let all_written = floors == written;
    Ok((floors, all_written))
}

/// Those of a block's labels that make its stream.
pub fn stream_labels(settings: &HeadSettings, block: &Labels) -> Labels {
    Labels::from_sorted(block.iter().filter(|(n, v)| {
        settings.stream_labels.iter().any(|s| s == n) && settings.external_labels.get(n) != Some(*v)
    }))
}
