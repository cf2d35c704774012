//! What compaction counts.

use std::sync::atomic::AtomicU64;

use dolmen_model::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::{GroupState, RunReport, Waiting};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Counters of compaction. Clones are one.
#[derive(Clone, Debug)]
pub struct CompactMetrics {
    groups: Family<StateLabel, Gauge>,
    waiting: Family<ReasonLabel, Gauge>,
    runs: Family<ResultLabel, Counter>,
    marked: Family<ReasonLabel, Counter>,
    deleted: Family<ReasonLabel, Counter>,
    bytes: Counter,
    compactions: Counter,
    last_success: Gauge<f64, AtomicU64>,
}

impl CompactMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> CompactMetrics {
        let m = CompactMetrics {
            groups: Family::default(),
            waiting: Family::default(),
            runs: Family::default(),
            marked: Family::default(),
            deleted: Family::default(),
            bytes: Counter::default(),
            compactions: Counter::default(),
            last_success: Gauge::default(),
        };
        let groups = "Groups of blocks by what the last run found in them";
        registry.register("dolmen_compact_groups", groups, m.groups.clone());
        let waiting = "Whole blocks that are not compacted, as of the last run";
        registry.register("dolmen_compact_blocks_waiting", waiting, m.waiting.clone());
        registry.register("dolmen_compact_runs", "Runs by how they ended", m.runs.clone());
        let marked = "Marks that were put beside blocks";
        registry.register("dolmen_compact_blocks_marked", marked, m.marked.clone());
        let deleted = "Blocks and unfinished uploads that were deleted";
        registry.register("dolmen_compact_blocks_deleted", deleted, m.deleted.clone());
        registry.register("dolmen_compact_bytes", "Bytes of merged blocks", m.bytes.clone());
        let compactions = "Merges that are whole in the bucket";
        registry.register("dolmen_compact_compactions", compactions, m.compactions.clone());
        registry.register(
            "dolmen_compact_last_success_timestamp_seconds",
            "When the last run without a failure ended, in seconds since the Unix epoch",
            m.last_success.clone(),
        );
        for state in GroupState::ALL {
            m.groups.get_or_create(&StateLabel { state: state.as_str() }).set(0);
        }
        for why in Waiting::ALL {
            m.waiting.get_or_create(&ReasonLabel { reason: why.as_str() }).set(0);
        }
        for result in ["success", "failure"] {
            drop(m.runs.get_or_create(&ResultLabel { result }));
        }
        m
    }

    /// Groups in a state, as of the last run. For tests and tools.
    pub fn groups(&self, state: GroupState) -> i64 {
        self.groups.get(&StateLabel { state: state.as_str() }).map_or(0, |g| g.get())
    }

    /// What a run found.
    pub(crate) fn set(&self, report: &RunReport) {
        let figure = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        for state in GroupState::ALL {
            let groups = self.groups.get_or_create(&StateLabel { state: state.as_str() });
            groups.set(figure(report.groups_in(state)));
        }
        for why in Waiting::ALL {
            let blocks = self.waiting.get_or_create(&ReasonLabel { reason: why.as_str() });
            blocks.set(figure(report.waiting.values().filter(|w| **w == why).count()));
        }
    }

    pub(crate) fn run(&self, success: bool, now: Timestamp) {
        let result = if success { "success" } else { "failure" };
        self.runs.get_or_create(&ResultLabel { result }).inc();
        if success {
            self.last_success.set(now as f64 / 1000.0);
        }
    }

    pub(crate) fn marked(&self, reason: &'static str) {
        self.marked.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn deleted(&self, reason: &'static str) {
        self.deleted.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn compacted(&self, bytes: u64) {
        self.compactions.inc();
        self.bytes.inc_by(bytes);
    }
}
