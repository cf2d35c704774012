//! All endpoints: looked after, listed, asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dolmen_api::StoreStatus;
use dolmen_ctx::{Clock, Disk};
use dolmen_model::{Labels, Matcher, Result, TimeRange};
use dolmen_service::Shutdown;
use dolmen_storage::Queryable;
use dolmen_storeapi::{ClientSettings, Describe, StoreClient, StoreFacts};
use futures::future::join_all;
use smol_str::SmolStr;
use tokio::sync::{Mutex, watch};

use crate::endpoint::{Endpoint, hull};
use crate::memory::{Memory, Remembered};
use crate::metrics::QuerierMetrics;
use crate::settings::QuerierSettings;

/// Longest time for which it is not written down what stores said, where they say the same of themselves.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);

/// Stores in other processes.
pub struct Querier {
    endpoints: Vec<Endpoint>,
    look_every: Duration,
    instance: SmolStr,
    memory: Option<Memory>,
    /// Held while it is written: one at a time.
    written: Mutex<Written>,
    looked: watch::Sender<bool>,
}

#[derive(Default)]
struct Written {
    stores: BTreeMap<String, Remembered>,
    at: Option<Instant>,
}

/// Waits until every endpoint was asked once how it is.
#[derive(Clone, Debug)]
pub struct FirstLook(watch::Receiver<bool>);

impl FirstLook {
    /// Returns once that was done, whether they answered or not.
    pub async fn done(mut self) {
        // The querier is gone: then there is nothing to wait for.
        let _gone = self.0.wait_for(|looked| *looked).await;
    }
}

impl Querier {
    /// Over the endpoints of the settings; nothing is asked of them before [`Querier::run`].
    pub fn open(
        settings: QuerierSettings,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
        metrics: QuerierMetrics,
    ) -> Result<Arc<Querier>> {
        let client = ClientSettings {
            response_timeout: settings.response_timeout,
            instance: settings.instance.clone(),
            max_answer_bytes: settings.max_answer_bytes,
            site_label: settings.site_label.as_str().into(),
            ..ClientSettings::default()
        };
        let memory = settings.memory.map(|path| Memory::new(disk, path));
        let remembered = memory.as_ref().map(Memory::load).unwrap_or_default();
        let mut addresses = settings.endpoints;
        addresses.sort_unstable();
        addresses.dedup();
        let endpoint = |address: &String| {
            let client = StoreClient::new(address, client.clone())?;
            let known = remembered.get(address);
            Ok(Endpoint::new(address, &settings.site_label, client, clock.clone(), metrics.clone(), known))
        };
        let endpoints = addresses.iter().map(endpoint).collect::<Result<Vec<_>>>()?;
        let (looked, _) = watch::channel(endpoints.is_empty());
        Ok(Arc::new(Querier {
            endpoints,
            look_every: settings.look_every,
            instance: settings.instance,
            memory,
            written: Mutex::new(Written { stores: remembered, at: None }),
            looked,
        }))
    }

    /// All stores, to be asked.
    pub fn queryables(&self) -> Vec<Arc<dyn Queryable>> {
        self.endpoints.iter().map(|e| Arc::new(e.clone()) as Arc<dyn Queryable>).collect()
    }

    /// Those whose labels pass all matchers of one of the sets.
    pub fn only(&self, sets: &[Arc<[Matcher]>]) -> Vec<Arc<dyn Queryable>> {
        let chosen = self.endpoints.iter().filter(|e| sets.iter().any(|set| e.passes(set)));
        chosen.map(|e| Arc::new(e.clone()) as Arc<dyn Queryable>).collect()
    }

    /// How they are, by address.
    pub fn list(&self) -> Vec<StoreStatus> {
        self.endpoints.iter().map(Endpoint::status).collect()
    }

    /// Waits for the first look.
    pub fn first_look(&self) -> FirstLook {
        FirstLook(self.looked.subscribe())
    }

    /// Asks them how they are until the word to end.
    pub async fn run(self: Arc<Querier>, shutdown: Shutdown) {
        let looking = async {
            // Before a query comes it is known who is there.
            join_all(self.endpoints.iter().map(|e| self.look(e))).await;
            self.looked.send_replace(true);
            join_all(self.endpoints.iter().map(|e| async {
                loop {
                    tokio::time::sleep(self.look_every).await;
                    self.look(e).await;
                }
            }))
            .await;
            // Without endpoints there is nothing to look at.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = looking => {}
            () = shutdown.wait() => {}
        }
        self.remember(true).await;
    }

    async fn look(self: &Arc<Querier>, endpoint: &Endpoint) {
        endpoint.look().await;
        self.remember(false).await;
    }

    /// Writes down what stores said, where that is news.
    async fn remember(self: &Arc<Querier>, now: bool) {
        if self.memory.is_none() {
            return;
        }
        let known: BTreeMap<String, Remembered> =
            self.endpoints.iter().filter_map(|e| Some((e.address().to_string(), e.remembered()?))).collect();
        let mut written = self.written.lock().await;
        let fresh = written.at.is_some_and(|at| at.elapsed() < REMEMBER_EVERY);
        if known == written.stores || (fresh && !now && alike(&known, &written.stores)) {
            return;
        }
        *written = Written { stores: known.clone(), at: Some(Instant::now()) };
        let this = self.clone();
        let saved = tokio::task::spawn_blocking(move || match &this.memory {
            Some(memory) => memory.save(&known),
            None => Ok(()),
        });
        match saved.await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!("remember stores: {e}"),
            Err(e) => tracing::warn!("remember stores: {e}"),
        }
    }
}

/// What stores hold together, as a querier says it of itself.
impl Describe for Querier {
    fn facts(&self) -> StoreFacts {
        let all: Vec<StoreFacts> = self.endpoints.iter().filter_map(Endpoint::facts_now).collect();
        // Equal ones become one: queriers that hear of each other tell no more each time.
        let holds = all.iter().flat_map(|f| &f.tsdbs).map(|t| (t.labels.clone(), t.range));
        let mut facts = StoreFacts::of("query", holds);
        facts.label_sets = all.iter().flat_map(|f| f.label_sets.iter().cloned()).collect();
        facts.range = all.iter().filter_map(|f| f.range).reduce(hull);
        if all.len() < self.endpoints.len() {
            // Who was never reached may hold anything.
            facts.label_sets.push(Labels::empty());
            facts.range = Some(TimeRange::ALL);
        }
        facts.label_sets.sort_unstable();
        facts.label_sets.dedup();
        facts.instance = self.instance.clone();
        // The least of those that say it.
        facts.end_stands_ms = all.iter().map(|f| f.end_stands_ms).filter(|ms| *ms > 0).min().unwrap_or(0);
        facts
    }
}

/// Whether the stores and their labels are the same, whatever the times.
fn alike(a: &BTreeMap<String, Remembered>, b: &BTreeMap<String, Remembered>) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((x, a), (y, b))| {
            let (a, b) = (&a.facts, &b.facts);
            x == y
                && a.component == b.component
                && a.label_sets == b.label_sets
                && a.range.is_some() == b.range.is_some()
        })
}
