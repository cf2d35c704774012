//! What a store says of itself, as Info.

use dolmen_model::Labels;
use dolmen_proto::thanos::info::{DolmenInfo, InfoResponse, StoreInfo, TsdbInfo};
use dolmen_proto::thanos::{Label, LabelSet};

use super::Server;
use crate::StoreFacts;

/// The answer to Info.
pub(crate) fn info(server: &Server) -> InfoResponse {
    let StoreFacts { component, label_sets, range, tsdbs, without, sharding, parts, instance, end_stands_ms } =
        server.describe.facts();
    // Thanos tells the end of a block as it stands in its meta, past its last sample.
    let (min_time, max_time) = range.map_or((i64::MAX, i64::MIN), |r| (r.mint(), r.maxt()));
    let tsdb = |t: &crate::TsdbFacts| TsdbInfo {
        labels: Some(label_set(&t.labels)),
        min_time: t.range.mint(),
        max_time: t.range.maxt(),
    };
    InfoResponse {
        label_sets: label_sets.iter().map(label_set).collect(),
        component_type: component,
        store: Some(StoreInfo {
            min_time,
            max_time,
            supports_sharding: sharding,
            supports_without_replica_labels: without,
            tsdb_infos: tsdbs.iter().map(tsdb).collect(),
            supports_projections: false,
        }),
        dolmen: Some(DolmenInfo {
            version: server.settings.version.clone(),
            parts,
            instance: instance.into(),
            end_stands_ms,
        }),
        ..InfoResponse::default()
    }
}

fn label_set(labels: &Labels) -> LabelSet {
    let label = |(name, value): (&str, &str)| Label { name: name.to_owned(), value: value.to_owned() };
    LabelSet { labels: labels.iter().map(label).collect() }
}
