//! The stores of a process as its API lists and chooses them: itself, and those in other processes.

use std::net::SocketAddr;
use std::sync::Arc;

use dolmen_api::{StoreStatus, Stores};
use dolmen_ctx::Clock;
use dolmen_fanout::{Fanout, Members as _};
use dolmen_model::{Labels, Matcher, TimeRange, Timestamp};
use dolmen_querier::{Querier, site};
use dolmen_storage::{Origin, Queryable, Select};
use dolmen_storeapi::{Describe, StoreFacts};
use smol_str::SmolStr;

use super::members::{Everywhere, Members};
use super::stage::Stage;
use super::writes::OWN_LABEL;
use crate::flags;

/// The label that holds a store's address where stores are chosen: `storeMatch[]`.
const ADDRESS: &str = "__address__";

/// Receivers keep a shipped block for so many intervals of those who look at the bucket.
const LOOKS: u32 = 3;

/// What a process holds itself, as it tells others.
#[derive(Clone)]
pub struct Own {
    /// query, receive, store.
    pub component: &'static str,
    /// Where its StoreAPI is served.
    pub address: SmolStr,
    /// The external label whose value is the site.
    pub site_label: SmolStr,
    /// Labels of all that it takes.
    pub external: Labels,
    /// What it holds.
    pub members: Members,
    /// The process.
    pub instance: SmolStr,
}

impl Own {
    /// What `members` hold, told under the address of the role's StoreAPI.
    pub fn new(
        stage: &Stage,
        component: &'static str,
        query: &flags::Query,
        external: Labels,
        members: Members,
    ) -> Own {
        let address = stage.grpc_address().map(name).unwrap_or_default();
        let site_label = query.site_label.as_str().into();
        Own { component, address, site_label, external, members, instance: stage.instance.clone() }
    }

    /// How lacks of its own data are called.
    pub fn origin(&self) -> Origin {
        let site = self.external.get(&self.site_label).unwrap_or_default().into();
        Origin { site, store: self.address.clone() }
    }
}

/// An address as others may know it: where it is every address of the machine, the machine's name stands for it.
fn name(address: SocketAddr) -> SmolStr {
    if !address.ip().is_unspecified() {
        return address.to_string().into();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "localhost" } else { host.trim() };
    format!("{host}:{}", address.port()).into()
}

impl Describe for Own {
    fn facts(&self) -> StoreFacts {
        let everything = Select::new(TimeRange::ALL, []);
        let covers = self.members.members().into_iter().map(|m| m.cover(&everything));
        let holds = covers.filter_map(|c| Some((c.labels, c.range?)));
        let holds = holds.flat_map(|(sets, range)| sets.into_iter().map(move |set| (shown(&set), range)));
        let mut facts = StoreFacts::of(self.component, holds);
        if self.members.receiver.is_some() {
            // Who takes samples may hold any that are newer.
            facts.range = facts.range.and_then(|r| TimeRange::new(r.mint(), Timestamp::MAX));
            facts.label_sets.push(shown(&self.external));
            facts.label_sets.sort_unstable();
            facts.label_sets.dedup();
        }
        facts.instance = self.instance.clone();
        // Receivers keep a block for as long after it is in the bucket.
        let stands = self.members.gateway.as_ref().map_or(0, |g| (LOOKS * g.interval()).as_millis() as i64);
        StoreFacts { end_stands_ms: stands, ..facts }
    }
}

/// External labels as others see them.
fn shown(labels: &Labels) -> Labels {
    labels.edit().remove(OWN_LABEL).build()
}

/// A process' own data, and stores in other processes.
pub struct AllStores {
    /// What is here; a `query` holds nothing.
    pub own: Option<Own>,
    /// What is here and elsewhere.
    pub members: Everywhere,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

impl AllStores {
    /// What is here, and what is elsewhere.
    pub fn new(stage: &Stage, own: Own, elsewhere: Option<Arc<Querier>>) -> AllStores {
        let members = Everywhere { here: own.members.clone(), elsewhere };
        AllStores { own: Some(own), members, clock: stage.clock.clone() }
    }

    /// All of it, to be asked.
    pub fn queryable(&self) -> Arc<dyn Queryable> {
        Arc::new(Fanout::new(self.members.clone()).named(self.origin()))
    }

    fn origin(&self) -> Origin {
        self.own.as_ref().map(Own::origin).unwrap_or_default()
    }
}

impl Stores for AllStores {
    fn list(&self) -> Vec<StoreStatus> {
        let own = self.own.iter().map(|own| {
            let facts = own.facts();
            let now = Some(self.clock.now());
            StoreStatus {
                component: own.component.into(),
                name: own.address.clone(),
                site: site(&facts, &own.site_label),
                label_sets: facts.label_sets,
                range: facts.range,
                last_check: now,
                last_success: now,
                last_error: None,
            }
        });
        let elsewhere = self.members.elsewhere.iter().flat_map(|q| q.list());
        own.chain(elsewhere).collect()
    }

    fn only(&self, sets: &[Arc<[Matcher]>]) -> Arc<dyn Queryable> {
        let mut chosen = Vec::new();
        if let Some(own) = &self.own {
            let passes = |m: &Matcher| match m.name() {
                ADDRESS => m.matches(&own.address),
                name => m.matches(own.external.get(name).unwrap_or_default()),
            };
            if sets.iter().any(|set| set.iter().all(passes)) {
                chosen.extend(own.members.members());
            }
        }
        chosen.extend(self.members.elsewhere.iter().flat_map(|q| q.only(sets)));
        Arc::new(Fanout::new(chosen).named(self.origin()))
    }
}
