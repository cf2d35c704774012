//! An engine that answers by script, a store in memory, and a client.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use dolmen_ctx::{CancelToken, Ctx, InlineCpu, ManualClock};
use dolmen_fanout::Fanout;
use dolmen_model::{
    Answer, Completeness, Cover, LabelBlockBuilder, Labels, MatchOp, Matcher, Missing, Result, TimeRange,
    Timestamp,
};
use dolmen_promql::{PromqlError, PromqlErrorKind, QueryOpts, QueryResult, Series, Value};
use dolmen_storage::{Frame, FrameStream, LabelAsk, Queryable, RawBatch, RawSeries, Select, Values};
use futures::StreamExt;
use http::Request;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use smol_str::SmolStr;
use tower::ServiceExt;

use crate::{ApiMetrics, ApiSettings, ApiState, Evaluator, StoreStatus, Stores, router};

/// The clock's time.
pub const NOW: Timestamp = 1_795_385_895_000;

/// Answers a few expressions by script.
#[derive(Default)]
pub struct FakeEngine {
    /// What `value` gives.
    pub value: Mutex<Option<Value>>,
    /// What every answer lacks.
    pub lacks: Completeness,
    /// The options of the last query, and its times.
    pub seen: Mutex<Option<(QueryOpts, Timestamp, Timestamp, i64)>>,
    /// Queries that began, and those that were dropped before their end.
    pub begun: AtomicUsize,
    /// See `begun`.
    pub dropped: Arc<AtomicUsize>,
    /// The token of the last query that hung.
    pub canceled: Mutex<Option<CancelToken>>,
}

/// Counts when it goes away.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl FakeEngine {
    async fn answer(
        &self,
        ctx: &Ctx,
        queryable: &Arc<dyn Queryable>,
        expr: &str,
        t: Timestamp,
    ) -> Result<QueryResult, PromqlError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let e = |kind, text: &str| Err(PromqlError { kind, text: text.to_owned() });
        let value = match expr {
            "" => return Err(no_expression()),
            "sum(" => return Err(PromqlError::bad_data("1:5: parse error: unclosed left parenthesis")),
            "execution" => return e(PromqlErrorKind::Execution, "division by cucumber"),
            "timeout" => return e(PromqlErrorKind::Timeout, "query timed out in expression evaluation"),
            "canceled" => return e(PromqlErrorKind::Canceled, "query was canceled in expression evaluation"),
            "internal" => return e(PromqlErrorKind::Internal, "expanding series: disk <sda> is on fire"),
            "limit" => return e(PromqlErrorKind::Limit, "too many samples"),
            "hang" => {
                *self.canceled.lock() = Some(ctx.cancel.clone());
                let _dropped = Dropped(self.dropped.clone());
                std::future::pending().await
            }
            // The names of all metrics there are.
            "names" => {
                let ask = LabelAsk::Values("__name__".into());
                let found = queryable.labels(ctx, &Select::new(TimeRange::ALL, []), ask).await?;
                Value::String(t, found.value.join(","))
            }
            "1+1" => Value::Scalar(NOW, 2.0),
            _ => self.value.lock().clone().unwrap_or(Value::Vector(Vec::new())),
        };
        let (warnings, infos) = (vec!["odd <data>".to_owned()], vec!["by the way".to_owned()]);
        let texts = |texts: Vec<String>| if expr == "annotated" { texts } else { Vec::new() };
        let completeness = self.lacks.clone();
        Ok(QueryResult { value, warnings: texts(warnings), infos: texts(infos), completeness })
    }
}

fn no_expression() -> PromqlError {
    PromqlError::bad_data("unknown position: parse error: no expression found in input")
}

#[async_trait]
impl Evaluator for FakeEngine {
    async fn instant(
        &self,
        ctx: &Ctx,
        queryable: &Arc<dyn Queryable>,
        expr: &str,
        t: Timestamp,
        opts: &QueryOpts,
    ) -> Result<QueryResult, PromqlError> {
        *self.seen.lock() = Some((opts.clone(), t, t, 0));
        self.answer(ctx, queryable, expr, t).await
    }

    async fn range(
        &self,
        ctx: &Ctx,
        queryable: &Arc<dyn Queryable>,
        expr: &str,
        start: Timestamp,
        end: Timestamp,
        step: i64,
        opts: &QueryOpts,
    ) -> Result<QueryResult, PromqlError> {
        *self.seen.lock() = Some((opts.clone(), start, end, step));
        let no = |what: &str| {
            let text = format!(
                "invalid expression type \"{what}\" for range query, must be Scalar or instant Vector"
            );
            Err(PromqlError::bad_data(text))
        };
        match expr {
            "up[5m]" => no("range vector"),
            "\"x\"" => no("string"),
            _ => self.answer(ctx, queryable, expr, start).await,
        }
    }

    fn format(&self, expr: &str) -> Result<String, PromqlError> {
        match expr {
            "" => Err(no_expression()),
            "sum by(a)(b)" => Ok("sum by (a) (b)".to_owned()),
            "sum by(" => Err(PromqlError::bad_data("1:8: parse error: unclosed left parenthesis")),
            _ => Ok(expr.to_owned()),
        }
    }

    fn selector(&self, text: &str) -> Result<Vec<Matcher>, PromqlError> {
        match text {
            "{}" => Ok(Vec::new()),
            "up{" => Err(PromqlError::bad_data("1:4: parse error: unexpected end of input inside braces")),
            "sum(up)" => Err(PromqlError::bad_data("1:4: parse error: unexpected \"(\"")),
            _ => match text
                .strip_prefix('{')
                .and_then(|t| t.strip_suffix("\"}"))
                .and_then(|t| t.split_once("=\""))
            {
                Some((name, value)) => Ok(vec![Matcher::eq(name, value)]),
                None => Ok(vec![Matcher::new(MatchOp::Eq, "__name__", text).unwrap()]),
            },
        }
    }
}

/// Series in memory: label sets, and what every answer lacks.
#[derive(Default)]
pub struct MemQueryable {
    /// The label sets.
    pub series: Vec<Labels>,
    /// What every answer lacks.
    pub lacks: Completeness,
    /// Series in a batch.
    pub batch: usize,
    /// The selects that came.
    pub asked: Mutex<Vec<Select>>,
}

impl MemQueryable {
    fn find(&self, select: &Select) -> BTreeSet<Labels> {
        self.asked.lock().push(select.clone());
        let passes =
            |l: &&Labels| select.matchers.iter().all(|m| m.matches(l.get(m.name()).unwrap_or_default()));
        let strip = |l: &Labels| {
            let mut b = l.edit();
            b.retain(|n, _| !select.without.iter().any(|w| w == n));
            b.build()
        };
        self.series.iter().filter(passes).map(strip).collect()
    }
}

#[async_trait]
impl Queryable for MemQueryable {
    fn cover(&self, select: &Select) -> Cover {
        Cover { range: Some(select.range), ..Cover::default() }
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream> {
        assert_eq!(select.values, Values::None);
        let mut found: Vec<Labels> = self.find(select).into_iter().collect();
        found.truncate(select.limit.map_or(usize::MAX, |n| n.get() as usize));
        let mut frames = Vec::new();
        for (ord, sets) in found.chunks(self.batch.max(1)).enumerate() {
            let mut labels = LabelBlockBuilder::default();
            for set in sets {
                labels.push(set.iter());
            }
            let series =
                (0..sets.len() as u32).map(|label| RawSeries { label, parts: Default::default() }).collect();
            let held = ctx.budget.reserve(1)?;
            frames.push(Ok(Frame::Batch(RawBatch { ord: ord as u64, labels: labels.build(), series, held })));
        }
        frames.push(Ok(Frame::End(self.lacks.clone())));
        Ok(futures::stream::iter(frames).boxed())
    }

    async fn labels(&self, _ctx: &Ctx, select: &Select, ask: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        let mut found = BTreeSet::new();
        for labels in self.find(select) {
            for (name, value) in labels.iter() {
                match &ask {
                    LabelAsk::Names => drop(found.insert(SmolStr::new(name))),
                    LabelAsk::Values(n) if n == name => drop(found.insert(SmolStr::new(value))),
                    LabelAsk::Values(_) => {}
                }
            }
        }
        Ok(Answer { value: found.into_iter().collect(), completeness: self.lacks.clone() })
    }
}

/// One store of one site that is away.
pub fn store_away() -> Completeness {
    let range = TimeRange::inclusive(1_795_384_200_000, 1_795_385_895_000).unwrap();
    let missing = Missing {
        site: "dc-b".into(),
        store: "10.0.0.7:10901".into(),
        range,
        cause: "connect refused".to_owned(),
    };
    Completeness { missing: vec![missing] }
}

/// A series of a matrix.
pub fn series(labels: &[(&str, &str)], floats: Vec<(Timestamp, f64)>) -> Series {
    Series { labels: Labels::from_pairs(labels.iter().copied()), floats, histograms: Vec::new() }
}

/// Stores by address, of which each query asks those whose address passes.
pub struct FakeStores {
    /// How they are.
    pub list: Vec<StoreStatus>,
    /// What each holds.
    pub data: BTreeMap<&'static str, Arc<dyn Queryable>>,
}

impl Stores for FakeStores {
    fn list(&self) -> Vec<StoreStatus> {
        self.list.clone()
    }

    fn only(&self, sets: &[Arc<[Matcher]>]) -> Arc<dyn Queryable> {
        let passes = |name: &str| {
            let address = |m: &Matcher| m.matches(if m.name() == "__address__" { name } else { "" });
            sets.iter().any(|set| set.iter().all(address))
        };
        let chosen = self.data.iter().filter(|(name, _)| passes(name)).map(|(_, q)| q.clone());
        Arc::new(Fanout::new(chosen.collect::<Vec<_>>()))
    }
}

/// The whole: engine, store, router.
pub struct World {
    /// The engine.
    pub engine: Arc<FakeEngine>,
    /// The store.
    pub store: Arc<MemQueryable>,
    /// The router.
    pub router: Router,
    /// All metrics.
    pub registry: Registry,
}

impl World {
    pub fn new(engine: FakeEngine, store: MemQueryable, settings: ApiSettings) -> World {
        World::over(engine, store, None, settings)
    }

    pub fn over(
        engine: FakeEngine,
        store: MemQueryable,
        stores: Option<Arc<dyn Stores>>,
        settings: ApiSettings,
    ) -> World {
        let (engine, store, mut registry) = (Arc::new(engine), Arc::new(store), Registry::default());
        let metrics = ApiMetrics::new(&mut registry);
        let state = ApiState {
            evaluator: engine.clone(),
            queryable: store.clone(),
            stores,
            settings,
            clock: Arc::new(ManualClock::new(NOW)),
            cpu: Arc::new(InlineCpu),
            metrics,
        };
        World { engine, store, router: router(Arc::new(state)), registry }
    }

    pub fn plain() -> World {
        World::new(FakeEngine::default(), MemQueryable::default(), ApiSettings::default())
    }

    pub async fn ask(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        read(self.ask(Request::get(path).body(Body::empty()).unwrap()).await).await
    }

    pub async fn post(&self, path: &str, form: &str) -> (u16, String) {
        let kind = "application/x-www-form-urlencoded; charset=utf-8";
        let request = Request::post(path).header("content-type", kind).body(Body::from(form.to_owned()));
        read(self.ask(request.unwrap()).await).await
    }

    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

pub async fn read(answer: Response) -> (u16, String) {
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

/// Text as it stands in a query string.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}
