//! Stores that are asked: who they are, how they are, and asking some of them only.

use std::sync::Arc;

use dolmen_model::{Labels, Matcher, TimeRange, Timestamp, rfc3339};
use dolmen_storage::Queryable;
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use crate::answer::{Answer, last};
use crate::state::Api;

/// What a store is called that never said what it is, as in Thanos.
const UNKNOWN: &str = "unknown-store-api";
/// When a store was asked that never was: Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Stores that are asked.
pub trait Stores: Send + Sync {
    /// All of them, by name.
    fn list(&self) -> Vec<StoreStatus>;

    /// Those alone whose labels (at least `__address__`) pass all matchers of one of the sets: `storeMatch[]`.
    fn only(&self, sets: &[Arc<[Matcher]>]) -> Arc<dyn Queryable>;
}

/// How a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// query, sidecar, receive, rule, store, debug; empty where it was never reached.
    pub component: SmolStr,
    /// Its address.
    pub name: SmolStr,
    /// The datacenter; empty where it is not known.
    pub site: SmolStr,
    /// External label sets.
    pub label_sets: Vec<Labels>,
    /// Time of what it holds, as far as it is known.
    pub range: Option<TimeRange>,
    /// When it was asked last how it is.
    pub last_check: Option<Timestamp>,
    /// When it answered that last.
    pub last_success: Option<Timestamp>,
    /// Why it is not asked now.
    pub last_error: Option<String>,
}

/// The stores by component, as Thanos lists them, with site and lag.
pub(crate) fn list(api: &Api) -> Answer {
    let mut stores = api.state.stores.as_ref().map_or_else(Vec::new, |stores| stores.list());
    stores.sort_by(|a, b| a.name.cmp(&b.name));
    let now = api.state.clock.now();
    let mut by_component: Map<String, Value> = Map::new();
    for store in &stores {
        let component = if store.component.is_empty() { UNKNOWN } else { store.component.as_str() };
        let of_component = by_component.entry(component).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = of_component {
            list.push(one(store, now));
        }
    }
    Answer::json(Value::Object(by_component).to_string())
}

fn one(store: &StoreStatus, now: Timestamp) -> Value {
    let labels =
        |labels: &Labels| labels.iter().map(|(n, v)| (n.to_owned(), v.into())).collect::<Map<_, _>>();
    // Of who was never reached nothing is known; who holds nothing says it so.
    let (mint, maxt) = match store.last_success {
        None => (Timestamp::MIN, Timestamp::MAX),
        Some(_) => (Timestamp::MAX, Timestamp::MIN),
    };
    json!({
        "name": store.name.as_str(), "site": store.site.as_str(),
        "lastCheck": store.last_check.and_then(rfc3339).unwrap_or_else(|| NEVER.to_owned()),
        "lastError": store.last_error,
        "lagSeconds": store.last_success.map(|t| now.saturating_sub(t).max(0) as f64 / 1000.0),
        "labelSets": store.label_sets.iter().map(labels).collect::<Vec<_>>(),
        "minTime": store.range.map_or(mint, TimeRange::mint),
        "maxTime": store.range.map_or(maxt, last),
    })
}
