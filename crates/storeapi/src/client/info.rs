//! The answer to `Info` -> facts.

use dolmen_model::{Error, Labels, Result, TimeRange};
use dolmen_proto::thanos::LabelSet;
use dolmen_proto::thanos::info::InfoResponse;
use prost::Message;

use super::text::short;
use crate::{StoreFacts, TsdbFacts};

/// Reads the message. What is not a store holds nothing.
pub(super) fn read(message: &[u8]) -> Result<StoreFacts> {
    let info = InfoResponse::decode(message)
        .map_err(|e| Error::corrupt(format!("malformed message: {}", short(e))))?;
    let store = info.store.unwrap_or_else(|| dolmen_proto::thanos::info::StoreInfo {
        // As an empty store says it.
        min_time: i64::MAX,
        max_time: i64::MIN,
        ..Default::default()
    });
    let dolmen = info.dolmen.unwrap_or_default();
    let tsdbs = store.tsdb_infos.into_iter().filter_map(|t| {
        let range = TimeRange::inclusive(t.min_time, t.max_time)?;
        Some(TsdbFacts { labels: t.labels.as_ref().map_or_else(Labels::empty, labels), range })
    });
    Ok(StoreFacts {
        component: short(info.component_type),
        label_sets: info.label_sets.iter().map(labels).collect(),
        range: TimeRange::inclusive(store.min_time, store.max_time),
        tsdbs: tsdbs.collect(),
        without: store.supports_without_replica_labels,
        sharding: store.supports_sharding,
        parts: dolmen.parts,
        instance: short(dolmen.instance).into(),
        end_stands_ms: dolmen.end_stands_ms.max(0),
    })
}

fn labels(set: &LabelSet) -> Labels {
    Labels::from_pairs(set.labels.iter().map(|l| (&l.name, &l.value)))
}
