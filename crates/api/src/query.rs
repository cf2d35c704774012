//! `query`, `query_range`, `query_exemplars`, `format_query`.

use std::time::{Duration, Instant};

use dolmen_ctx::Reservation;
use dolmen_promql::{QueryOpts, QueryResult};

use crate::answer::{Answer, Feed};
use crate::call::Call;
use crate::error::ApiError;
use crate::form::Form;
use crate::json::Json;
use crate::state::Api;
use crate::terms::Terms;
use crate::value::{self, ValueFeed};

/// From here on the log names a query.
const SLOW: Duration = Duration::from_secs(10);
/// Characters of it that are logged.
const LOGGED: usize = 1000;
/// Nanoseconds of a millisecond.
const MS: i64 = 1_000_000;
/// What an answer says that was cut off at `limit`.
pub(crate) const TRUNCATED: &str = "results truncated due to limit";

/// The value of an expression at one time.
pub(crate) async fn query(api: &Api, form: Form) -> Result<Answer, ApiError> {
    let limit = form.limit()?;
    let t = form.time("time", api.state.clock.now())?;
    let timeout = form.timeout()?;
    let opts = options(api, &form)?;
    let terms = Terms::read(api, &form)?;
    let expr = form.first("query");
    let call = Call::begin(api, timeout).await?;
    let slow = Slow { expr, began: Instant::now() };
    let work = api.state.evaluator.instant(&call.ctx, &terms.queryable, expr, t, &opts);
    let result = call.run(async { work.await.map_err(ApiError::of_query) }).await?;
    answer(api, &form, &terms, &call, result, limit, slow.began.elapsed())
}

/// The values of an expression over a range of time.
pub(crate) async fn query_range(api: &Api, form: Form) -> Result<Answer, ApiError> {
    let limit = form.limit()?;
    let start = form.required_time("start")?;
    let end = form.required_time("end")?;
    if end < start {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let step = form.required_duration("step")?;
    if step <= 0 {
        let text = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", text));
    }
    let range = (i128::from(end) - i128::from(start)) * i128::from(MS);
    if range / i128::from(step) > i128::from(api.state.settings.max_points) {
        return Err(ApiError::bad_data(format!(
            "exceeded maximum resolution of {} points per timeseries. Try decreasing the query resolution (?step=XX)",
            thousands(api.state.settings.max_points)
        )));
    }
    let timeout = form.timeout()?;
    let opts = options(api, &form)?;
    let terms = Terms::read(api, &form)?;
    let expr = form.first("query");
    let call = Call::begin(api, timeout).await?;
    let slow = Slow { expr, began: Instant::now() };
    // Steps below a millisecond are one: samples have no finer times.
    let step = (step / MS).max(1);
    let work = api.state.evaluator.range(&call.ctx, &terms.queryable, expr, start, end, step, &opts);
    let result = call.run(async { work.await.map_err(ApiError::of_query) }).await?;
    answer(api, &form, &terms, &call, result, limit, slow.began.elapsed())
}

/// Exemplars are not kept: the question is checked, the answer is empty.
pub(crate) fn exemplars(api: &Api, form: &Form) -> Result<Answer, ApiError> {
    let start = form.time("start", crate::MIN_TIME)?;
    let end = form.time("end", crate::MAX_TIME)?;
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    api.state.evaluator.format(form.first("query")).map_err(|e| ApiError::bad_data(e.text))?;
    Ok(Answer::json("[]"))
}

/// An expression laid out.
pub(crate) fn format(api: &Api, form: &Form) -> Result<Answer, ApiError> {
    let text = api.state.evaluator.format(form.first("query")).map_err(ApiError::of_query)?;
    let mut json = Json::default();
    json.text(&text);
    Ok(Answer::json(json.into_string()))
}

/// A query under way: the log names it where it takes long, whether it succeeds, fails, or is left by its client.
struct Slow<'a> {
    expr: &'a str,
    began: Instant,
}

impl Drop for Slow<'_> {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        if took >= SLOW {
            let query: String = self.expr.chars().take(LOGGED).collect();
            tracing::warn!(seconds = took.as_secs_f64(), query, "slow query");
        }
    }
}

fn options(api: &Api, form: &Form) -> Result<QueryOpts, ApiError> {
    let settings = &api.state.settings;
    Ok(QueryOpts {
        lookback_ms: form.lookback(settings.lookback_ms)?,
        without: form.without(&settings.replica_labels)?.into(),
    })
}

/// A value on its way out; its memory is held until the last piece is sent.
struct Sent {
    value: ValueFeed,
    _held: Reservation,
}

impl Feed for Sent {
    fn feed(&mut self, out: &mut Json, until: usize) -> bool {
        self.value.feed(out, until)
    }
}

fn answer(
    api: &Api,
    form: &Form,
    terms: &Terms,
    call: &Call,
    result: QueryResult,
    limit: Option<usize>,
    took: Duration,
) -> Result<Answer, ApiError> {
    let QueryResult { mut value, mut warnings, infos, completeness } = result;
    terms.check(&completeness)?;
    if limit.is_some_and(|limit| value::truncate(&mut value, limit)) {
        warnings.push(TRUNCATED.to_owned());
    }
    let held = api.budget.reserve(value::bytes(&value))?;
    let feed = ValueFeed::new(value);
    let before = format!("{{\"resultType\":\"{}\",\"result\":", feed.kind());
    let after = if form.first("stats").is_empty() { "}".to_owned() } else { stats(call.queued, took) };
    let answer = Answer { before, after, warnings, infos, ..Answer::new(Sent { value: feed, _held: held }) };
    Ok(answer.lacks(&completeness))
}

/// `,"stats":{…}}`: times in seconds.
fn stats(queued: Duration, took: Duration) -> String {
    let mut json = Json::default();
    json.raw(",\"stats\":{\"timings\":{\"evalTotalTime\":");
    json.number(took.as_secs_f64());
    json.raw(",\"execQueueTime\":");
    json.number(queued.as_secs_f64());
    json.raw(",\"execTotalTime\":");
    json.number((queued + took).as_secs_f64());
    json.raw("}}}");
    json.into_string()
}

/// Digits in groups of three: `11,000`.
fn thousands(n: i64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
