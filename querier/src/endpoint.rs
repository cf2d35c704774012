//! One store in another process, as something to ask.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use dolmen_api::StoreStatus;
use dolmen_ctx::{Clock, Ctx};
use dolmen_model::{Answer, Completeness, Cover, Error, Kind, Labels, Matcher, Result, TimeRange, Timestamp};
use dolmen_storage::{Frame, FrameStream, LabelAsk, Origin, Queryable, Select};
use dolmen_storeapi::{StoreClient, StoreFacts};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use smol_str::SmolStr;

use crate::health::{Health, NOT_REACHED};
use crate::memory::Remembered;
use crate::metrics::{QuerierMetrics, StoreLabels};

/// The label that holds a store's address where stores are chosen: `storeMatch[]`.
const ADDRESS: &str = "__address__";

/// For how long the end stands of what a store said it holds, where it does not tell: most keep looking at their
/// bucket for a multiple of that.
const END_STANDS_MS: i64 = 600_000;

/// One store. Clones are one.
#[derive(Clone)]
pub(crate) struct Endpoint(Arc<Inner>);

struct Inner {
    address: SmolStr,
    site_label: String,
    client: StoreClient,
    clock: Arc<dyn Clock>,
    metrics: QuerierMetrics,
    state: Mutex<State>,
}

struct State {
    health: Health,
    /// What it said last, be it before this process started.
    facts: Option<Arc<StoreFacts>>,
    origin: Arc<Origin>,
    last_check: Option<Timestamp>,
    last_success: Option<Timestamp>,
    /// The same, by a clock that nobody sets.
    reached: Option<Instant>,
}

impl Endpoint {
    /// A store that is not asked before it says how it is.
    pub fn new(
        address: &str,
        site_label: &str,
        client: StoreClient,
        clock: Arc<dyn Clock>,
        metrics: QuerierMetrics,
        remembered: Option<&Remembered>,
    ) -> Endpoint {
        let facts = remembered.map(|r| Arc::new(r.facts.clone()));
        let site = facts.as_deref().map(|f| site(f, site_label)).unwrap_or_default();
        let state = State {
            health: Health::unknown(),
            facts,
            origin: Arc::new(Origin { site, store: address.into() }),
            last_check: None,
            last_success: remembered.map(|r| r.last_success),
            reached: None,
        };
        let endpoint = Endpoint(Arc::new(Inner {
            address: address.into(),
            site_label: site_label.to_owned(),
            client,
            clock,
            metrics,
            state: Mutex::new(state),
        }));
        endpoint.tell(&endpoint.0.state.lock());
        endpoint
    }

    /// Its address.
    pub fn address(&self) -> &SmolStr {
        &self.0.address
    }

    /// Asks it how it is.
    pub async fn look(&self) {
        let said = self.0.client.info().await;
        let mut state = self.0.state.lock();
        let was_down = state.health.down().map(str::to_owned);
        state.last_check = Some(self.0.clock.now());
        match said {
            Ok(facts) => {
                state.last_success = state.last_check;
                state.reached = Some(Instant::now());
                if state.facts.as_ref().is_some_and(|f| f.instance != facts.instance) {
                    state.health.restarted();
                }
                let site = site(&facts, &self.0.site_label);
                // One that has not found its blocks yet names none.
                if site != state.origin.site && !site.is_empty() {
                    if !state.origin.site.is_empty() {
                        let (was, store) = (&state.origin.site, &self.0.address);
                        tracing::warn!(%was, is = %site, %store, "store says another site than before");
                    }
                    self.0.metrics.up.remove(&labels(&state.origin));
                    state.origin = Arc::new(Origin { site, store: self.0.address.clone() });
                }
                if state.facts.as_deref() != Some(&facts) {
                    state.facts = Some(Arc::new(facts));
                }
                state.health.reached(Instant::now());
            }
            Err(e) => state.health.unreachable(e.to_string()),
        }
        let Origin { site, store } = &*state.origin;
        match (was_down, state.health.down()) {
            (None, Some(why)) => tracing::warn!(%site, %store, "store is gone: {why}"),
            (Some(_), None) => tracing::info!(%site, %store, "store answers"),
            _ => {}
        }
        self.tell(&state);
    }

    fn tell(&self, state: &State) {
        self.0.metrics.tell(&labels(&state.origin), state.health.down().is_none());
    }

    /// What it said last, to be remembered.
    pub fn remembered(&self) -> Option<Remembered> {
        let state = self.0.state.lock();
        let facts = state.facts.as_deref()?.clone();
        Some(Remembered { facts, last_success: state.last_success? })
    }

    /// How it is.
    pub fn status(&self) -> StoreStatus {
        let state = self.0.state.lock();
        StoreStatus {
            component: state.facts.as_ref().map(|f| f.component.as_str().into()).unwrap_or_default(),
            name: self.0.address.clone(),
            site: state.origin.site.clone(),
            label_sets: state.facts.as_ref().map(|f| f.label_sets.clone()).unwrap_or_default(),
            range: state.facts.as_ref().and_then(|f| f.range),
            last_check: state.last_check,
            last_success: state.last_success,
            last_error: state.health.down().map(str::to_owned),
        }
    }

    /// What it said last.
    fn facts(&self) -> Option<Arc<StoreFacts>> {
        self.0.state.lock().facts.clone()
    }

    /// What it may hold by now.
    pub fn facts_now(&self) -> Option<StoreFacts> {
        let state = self.0.state.lock();
        let facts = state.facts.as_deref()?;
        let range = facts.range.map(|range| state.holds(range, facts, self.0.clock.now()));
        Some(StoreFacts { range, ..facts.clone() })
    }

    /// Whether its address, and its external labels, pass all of these.
    pub fn passes(&self, matchers: &[Matcher]) -> bool {
        let facts = self.facts();
        let sets = facts.as_deref().map(|f| f.label_sets.as_slice()).unwrap_or_default();
        matchers.iter().all(|m| match m.name() {
            ADDRESS => m.matches(&self.0.address),
            // Of who was never reached nothing is known.
            _ if facts.is_none() => true,
            _ if sets.is_empty() => m.matches_empty(),
            name => sets.iter().any(|set| m.matches(set.get(name).unwrap_or_default())),
        })
    }

    /// What is needed to ask it; an error where it is not asked.
    fn ready(&self) -> Result<(Arc<StoreFacts>, Arc<Origin>)> {
        let state = self.0.state.lock();
        match (state.health.down(), &state.facts) {
            (None, Some(facts)) => Ok((facts.clone(), state.origin.clone())),
            (why, _) => Err(Error::new(Kind::Retry, why.unwrap_or(NOT_REACHED))),
        }
    }

    /// A question that began then was answered, or was not.
    fn done(&self, began: Instant, origin: &Origin, failed: Option<&Error>) {
        let metrics = &self.0.metrics;
        metrics.asked.get_or_create(&labels(origin)).inc();
        metrics.took(&origin.site, began.elapsed().as_secs_f64());
        let Some(e) = failed else {
            self.0.state.lock().health.answered();
            return;
        };
        match e.kind() {
            Kind::Corrupt | Kind::Refused | Kind::Retry | Kind::NotFound => {
                metrics.failed(&origin.site, &origin.store)
            }
            // The fault is the query's.
            _ => return,
        }
        // What it refuses, or what it sends that is broken, may be so for this question alone.
        if e.kind() == Kind::Retry {
            let mut state = self.0.state.lock();
            let (now, why) = (Instant::now(), e.to_string());
            let was_up = state.health.down().is_none();
            match state.reached.is_some_and(|at| at > began) {
                true => state.health.slow(began, now, why),
                false => state.health.tripped(now, why),
            }
            if was_up && let Some(why) = state.health.down() {
                tracing::warn!(site = %origin.site, store = %origin.store, "store is gone: {why}");
            }
            self.tell(&state);
        }
    }
}

impl State {
    /// What it may hold by now, where it said that it holds `range`. While it is away blocks may have come that it
    /// did not know, and others may have let go of what is in them.
    fn holds(&self, range: TimeRange, facts: &StoreFacts, now: Timestamp) -> TimeRange {
        let stands = if facts.end_stands_ms > 0 { facts.end_stands_ms } else { END_STANDS_MS };
        // A clock that was set back tells nothing.
        let stood = self.last_success.is_some_and(|at| (0..=stands).contains(&now.saturating_sub(at)));
        match self.health.down().is_none() || stood {
            true => range,
            false => TimeRange::new(range.mint(), Timestamp::MAX).unwrap_or(range),
        }
    }
}

/// The site of a store: the value of the site label in its external labels; several, with commas between, where
/// it stands for several sites.
pub fn site(facts: &StoreFacts, label: &str) -> SmolStr {
    let mut sites: Vec<&str> = facts.label_sets.iter().filter_map(|set| set.get(label)).collect();
    sites.sort_unstable();
    sites.dedup();
    sites.join(",").into()
}

fn labels(origin: &Origin) -> StoreLabels {
    StoreLabels { site: origin.site.to_string(), store: origin.store.to_string() }
}

/// Whether series with these external labels can pass: what a set does not name, its series may have.
fn may_hold(set: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|m| set.get(m.name()).is_none_or(|value| m.matches(value)))
}

#[async_trait]
impl Queryable for Endpoint {
    fn cover(&self, select: &Select) -> Cover {
        let state = self.0.state.lock();
        let Origin { site, store } = (*state.origin).clone();
        let (labels, range) = match &state.facts {
            // It may hold anything.
            None => (Vec::new(), Some(select.range)),
            Some(facts) => {
                let sets = &facts.label_sets;
                let pass = sets.is_empty() || sets.iter().any(|set| may_hold(set, &select.matchers));
                // Who holds nothing yet may be given something at any time.
                let range = match facts.range {
                    Some(range) => state.holds(range, facts, self.0.clock.now()).intersect(select.range),
                    None => Some(select.range),
                };
                (sets.clone(), range.filter(|_| pass))
            }
        };
        Cover { site, store, labels, range }
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream> {
        let (facts, origin) = self.ready()?;
        if self.0.client.is_behind(ctx, &facts) {
            return Ok(stream::once(async { Ok(Frame::End(Completeness::complete())) }).boxed());
        }
        let began = Instant::now();
        let stream = match self.0.client.select(ctx, select, &facts, &origin).await {
            Ok(stream) => stream,
            Err(e) => {
                self.done(began, &origin, Some(&e));
                return Err(e);
            }
        };
        let endpoint = self.clone();
        let watched = stream.inspect(move |frame| match frame {
            Ok(Frame::Batch(_)) => {}
            Ok(Frame::End(_)) => endpoint.done(began, &origin, None),
            Err(e) => endpoint.done(began, &origin, Some(e)),
        });
        Ok(watched.boxed())
    }

    async fn labels(&self, ctx: &Ctx, select: &Select, ask: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        let (facts, origin) = self.ready()?;
        if self.0.client.is_behind(ctx, &facts) {
            return Ok(Answer::default());
        }
        let began = Instant::now();
        let answer = self.0.client.labels(ctx, select, ask, &facts, &origin).await;
        self.done(began, &origin, answer.as_ref().err());
        answer
    }
}

/// The time of two, and between them.
pub(crate) fn hull(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange::new(a.mint().min(b.mint()), a.maxt().max(b.maxt())).unwrap_or(a)
}

#[cfg(test)]
mod tests {
    use dolmen_ctx::ManualClock;
    use dolmen_model::MatchOp;
    use dolmen_storeapi::ClientSettings;
    use prometheus_client::registry::Registry;

    use super::*;

    const HELD: (i64, i64) = (1000, 2000);

    fn facts(sets: &[&[(&str, &str)]], range: (i64, i64)) -> StoreFacts {
        StoreFacts {
            component: "receive".to_owned(),
            label_sets: sets.iter().map(|set| Labels::from_pairs(set.iter().copied())).collect(),
            range: TimeRange::new(range.0, range.1),
            ..StoreFacts::default()
        }
    }

    /// A store that is away, of which this is remembered.
    fn endpoint(remembered: Option<StoreFacts>) -> Endpoint {
        endpoint_at(remembered, 77)
    }

    /// The same, at a time.
    fn endpoint_at(remembered: Option<StoreFacts>, now: Timestamp) -> Endpoint {
        let clock = Arc::new(ManualClock::new(now));
        let client = StoreClient::new("127.0.0.1:1", ClientSettings::default()).unwrap();
        let metrics = QuerierMetrics::new(&mut Registry::default());
        let remembered = remembered.map(|facts| Remembered { facts, last_success: 5 });
        Endpoint::new("127.0.0.1:1", "site", client, clock, metrics, remembered.as_ref())
    }

    fn cover(endpoint: &Endpoint, range: (i64, i64), matchers: &[Matcher]) -> Option<(i64, i64)> {
        let select = Select::new(TimeRange::new(range.0, range.1).unwrap(), matchers);
        endpoint.cover(&select).range.map(|r| (r.mint(), r.maxt()))
    }

    #[tokio::test]
    async fn a_store_is_asked_and_missed_only_where_it_can_match() {
        let e = endpoint(Some(facts(&[&[("site", "dc-b")], &[("site", "dc-b"), ("r", "1")]], HELD)));
        assert_eq!(e.status().site, "dc-b");
        assert_eq!(cover(&e, (0, 5000), &[]), Some(HELD));
        assert_eq!(cover(&e, (1500, 5000), &[]), Some((1500, 2000)));
        assert_eq!(cover(&e, (2000, 5000), &[]), None);
        for (op, value, asked) in [
            (MatchOp::Eq, "dc-a", false),
            (MatchOp::Eq, "dc-b", true),
            (MatchOp::Ne, "dc-b", false),
            (MatchOp::Re, "dc-.", true),
            (MatchOp::Nre, "dc-[bc]", false),
            (MatchOp::Eq, "", false),
        ] {
            let matcher = Matcher::new(op, "site", value).unwrap();
            assert_eq!(cover(&e, HELD, std::slice::from_ref(&matcher)).is_some(), asked, "{matcher}");
        }
        // A label that no set names may stand on its series; one set that passes is enough.
        assert!(cover(&e, HELD, &[Matcher::eq("job", "x"), Matcher::eq("r", "2")]).is_some());
    }

    #[tokio::test]
    async fn a_store_that_was_never_reached_may_hold_anything() {
        let e = endpoint(None);
        assert_eq!(e.status().site, "");
        assert_eq!(cover(&e, (0, 7), &[Matcher::eq("site", "dc-a")]), Some((0, 7)));
        let asked = e.select(&Ctx::unbounded(), &Select::new(TimeRange::ALL, [])).await;
        let refused = asked.err().map(|e| (e.kind(), e.to_string()));
        assert_eq!(refused, Some((Kind::Retry, NOT_REACHED.to_owned())));
        // One that holds nothing yet may be given something at any time.
        let empty = endpoint(Some(facts(&[&[("site", "dc-b")]], (9, 9))));
        assert_eq!(cover(&empty, (0, 7), &[]), Some((0, 7)));
    }

    #[tokio::test]
    async fn what_is_away_for_long_may_have_been_given_more() {
        let said = facts(&[], HELD);
        let told = StoreFacts { end_stands_ms: 20, ..said.clone() };
        for (facts, away, end) in
            [(&said, 600_000, 2000), (&said, 600_001, 9000), (&told, 20, 2000), (&told, 21, 9000)]
        {
            let e = endpoint_at(Some(facts.clone()), 5 + away);
            assert_eq!(cover(&e, (0, 9000), &[]), Some((1000, end)), "{away} ms");
        }
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_says_why() {
        let e = endpoint(None);
        e.look().await;
        let status = e.status();
        assert_eq!((status.last_check, status.last_success), (Some(77), None));
        assert_eq!(status.last_error.as_deref(), Some("connection refused"));
    }

    #[tokio::test]
    async fn stores_are_chosen_by_address_and_external_labels() {
        let e = endpoint(Some(facts(&[&[("site", "dc-b")]], HELD)));
        let eq = |name: &str, value: &str| Matcher::eq(name, value);
        assert!(e.passes(&[eq("__address__", "127.0.0.1:1")]));
        assert!(!e.passes(&[eq("__address__", "127.0.0.1:2")]));
        assert!(e.passes(&[eq("__address__", "127.0.0.1:1"), eq("site", "dc-b")]));
        assert!(!e.passes(&[eq("site", "dc-a")]));
        assert!(e.passes(&[eq("nosuch", "")]));
    }

    #[test]
    fn sites() {
        let of = |sets: &[&[(&str, &str)]]| site(&facts(sets, HELD), "site");
        assert_eq!(of(&[]), "");
        assert_eq!(of(&[&[("r", "1")], &[("site", "b")]]), "b");
        assert_eq!(of(&[&[("site", "b")], &[("site", "a")], &[("site", "b")]]), "a,b");
    }
}
