//! A select as the StoreAPI asks it.

use dolmen_model::{MatchOp, Matcher, TimeRange};
use dolmen_proto::thanos::label_matcher::Type;
use dolmen_proto::thanos::{
    Aggr, LabelMatcher, LabelNamesRequest, LabelValuesRequest, PartialResponseStrategy, PartsAsk, QueryHints,
    Range, SeriesRequest,
};
use dolmen_storage::{Select, Values};

use crate::StoreFacts;

/// Series in a frame: what a Thanos querier asks for.
const SERIES_PER_FRAME: i64 = 64;

pub(super) fn series(select: &Select, facts: &StoreFacts) -> SeriesRequest {
    let (min_time, max_time) = inclusive(select.range);
    // Where this side takes labels out, a limit would count series that become one.
    let whole = facts.parts || select.without.is_empty();
    SeriesRequest {
        min_time,
        max_time,
        matchers: series_matchers(select, facts),
        aggregates: vec![Aggr::Raw as i32],
        partial_response_strategy: PartialResponseStrategy::Warn as i32,
        skip_chunks: select.values == Values::None,
        query_hints: Some(QueryHints {
            step_millis: select.hints.step_ms,
            range: Some(Range { millis: select.hints.window_ms }),
            ..QueryHints::default()
        }),
        limit: if whole { limit(select) } else { 0 },
        response_batch_size: SERIES_PER_FRAME,
        parts: facts.parts.then(|| PartsAsk { without: without(select) }),
        ..SeriesRequest::default()
    }
}

pub(super) fn names(select: &Select, facts: &StoreFacts) -> LabelNamesRequest {
    let (start, end) = inclusive(select.range);
    let whole = facts.without || select.without.is_empty();
    LabelNamesRequest {
        start,
        end,
        partial_response_strategy: PartialResponseStrategy::Warn as i32,
        matchers: matchers(select),
        without_replica_labels: if facts.without { without(select) } else { Vec::new() },
        limit: if whole { limit(select) } else { 0 },
        ..LabelNamesRequest::default()
    }
}

pub(super) fn values(name: &str, select: &Select, facts: &StoreFacts) -> LabelValuesRequest {
    let (start, end) = inclusive(select.range);
    LabelValuesRequest {
        label: name.to_owned(),
        start,
        end,
        partial_response_strategy: PartialResponseStrategy::Warn as i32,
        matchers: matchers(select),
        without_replica_labels: if facts.without { without(select) } else { Vec::new() },
        limit: limit(select),
        ..LabelValuesRequest::default()
    }
}

fn inclusive(range: TimeRange) -> (i64, i64) {
    // The end of time stands for "up to the newest".
    let last = if range.maxt() == i64::MAX { i64::MAX } else { range.maxt() - 1 };
    (range.mint(), last)
}

fn limit(select: &Select) -> i64 {
    select.limit.map_or(0, |l| i64::try_from(l.get()).unwrap_or(i64::MAX))
}

fn without(select: &Select) -> Vec<String> {
    select.without.iter().map(|n| n.to_string()).collect()
}

fn matchers(select: &Select) -> Vec<LabelMatcher> {
    select.matchers.iter().map(matcher).collect()
}

/// Thanos' stores check conditions on external labels apart, and answer nothing where no other is left: to get all
/// series of such a store, one has to be there.
fn series_matchers(select: &Select, facts: &StoreFacts) -> Vec<LabelMatcher> {
    let mut all = matchers(select);
    let none_left = |set: &dolmen_model::Labels| select.matchers.iter().all(|m| set.get(m.name()).is_some());
    if !facts.parts && (all.is_empty() || facts.label_sets.iter().any(none_left)) {
        let (name, value) = (dolmen_model::METRIC_NAME.to_owned(), ".+".to_owned());
        all.push(LabelMatcher { r#type: Type::Re as i32, name, value });
    }
    all
}

fn matcher(m: &Matcher) -> LabelMatcher {
    let of = match m.op() {
        MatchOp::Eq => Type::Eq,
        MatchOp::Ne => Type::Neq,
        MatchOp::Re => Type::Re,
        MatchOp::Nre => Type::Nre,
    };
    LabelMatcher { r#type: of as i32, name: m.name().to_owned(), value: m.value().to_owned() }
}
