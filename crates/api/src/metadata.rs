//! `labels`, `label/{name}/values`: the strings of label sets.

use std::collections::BTreeSet;
use std::sync::Arc;

use dolmen_ctx::Reservation;
use dolmen_model::{Completeness, Matcher, TimeRange, quote};
use dolmen_storage::{LabelAsk, Order, Select, Values};
use smol_str::SmolStr;

use crate::answer::{Answer, Feed};
use crate::call::Call;
use crate::error::ApiError;
use crate::form::{Form, unescape};
use crate::json::Json;
use crate::query::TRUNCATED;
use crate::state::Api;
use crate::terms::Terms;
use crate::{MAX_TIME, MIN_TIME, escape};

/// A list of strings.
struct Strings {
    list: Vec<SmolStr>,
    at: usize,
    _held: Reservation,
}

impl Feed for Strings {
    fn feed(&mut self, out: &mut Json, until: usize) -> bool {
        if self.at == 0 {
            out.raw("[");
        }
        while out.len() < until && self.at < self.list.len() {
            out.comma(self.at);
            out.text(&self.list[self.at]);
            self.at += 1;
        }
        let more = self.at < self.list.len();
        out.raw(if more { "" } else { "]" });
        more
    }
}

/// What a question about label sets holds.
pub(crate) struct Asked {
    /// `limit`.
    pub limit: Option<usize>,
    /// `start` to `end`; `None` where nothing lies between.
    pub range: Option<TimeRange>,
    /// `match[]`: a series needs to pass all matchers of one of them.
    pub sets: Vec<Arc<[Matcher]>>,
    /// Labels that are left out.
    pub without: Arc<[SmolStr]>,
    /// Whom it is asked of, and what the answer may lack.
    pub terms: Terms,
}

impl Asked {
    /// Reads it; `refuse` makes the error of a bad `match[]`.
    pub fn read(api: &Api, form: &Form, refuse: impl Fn(String) -> ApiError) -> Result<Asked, ApiError> {
        let limit = form.limit()?;
        let start = form.time("start", MIN_TIME)?;
        let end = form.time("end", MAX_TIME)?;
        let mut sets = Vec::new();
        for text in form.all("match[]") {
            let matchers = api.state.evaluator.selector(text).map_err(|e| refuse(e.text))?;
            if matchers.iter().all(Matcher::matches_empty) {
                return Err(refuse("match[] must contain at least one non-empty matcher".to_owned()));
            }
            sets.push(matchers.into());
        }
        let without = form.without(&api.state.settings.replica_labels)?.into();
        let terms = Terms::read(api, form)?;
        Ok(Asked { limit, range: TimeRange::inclusive(start, end), sets, without, terms })
    }

    /// What the stores are asked for.
    pub fn select(&self, range: TimeRange, matchers: &Arc<[Matcher]>) -> Select {
        Select {
            values: Values::None,
            order: Order::Labels,
            without: self.without.clone(),
            ..Select::new(range, matchers.clone())
        }
    }
}

/// Names of labels.
pub(crate) async fn names(api: &Api, form: Form) -> Result<Answer, ApiError> {
    let asked = Asked::read(api, &form, ApiError::bad_data)?;
    let (mut names, lacks) = strings(api, &asked, LabelAsk::Names).await?;
    names.retain(|name| !asked.without.contains(name));
    Ok(answer(api, names, asked.limit)?.lacks(&lacks))
}

/// Values of a label. `segment` is its name as it stands in the path.
pub(crate) async fn values(api: &Api, form: Form, segment: &str) -> Result<Answer, ApiError> {
    let name = label_name(segment)?;
    let asked = Asked::read(api, &form, ApiError::bad_data)?;
    if asked.without.contains(&name) {
        return Ok(Answer::json("[]"));
    }
    let (values, lacks) = strings(api, &asked, LabelAsk::Values(name)).await?;
    Ok(answer(api, values, asked.limit)?.lacks(&lacks))
}

fn label_name(segment: &str) -> Result<SmolStr, ApiError> {
    let bytes = unescape(segment.as_bytes(), false).unwrap_or_else(|| segment.as_bytes().to_vec());
    match std::str::from_utf8(&bytes).map(escape::unescape) {
        Ok(name) if !name.is_empty() => Ok(name.into()),
        _ => Err(ApiError::bad_data(format!("invalid label name: {}", quote(&bytes)))),
    }
}

fn answer(api: &Api, mut list: Vec<SmolStr>, limit: Option<usize>) -> Result<Answer, ApiError> {
    let cut = limit.filter(|limit| list.len() > *limit);
    list.truncate(cut.unwrap_or(list.len()));
    let bytes: usize = list.iter().map(|text| size_of_val(text) + text.len()).sum();
    let held = api.budget.reserve(bytes as u64)?;
    let mut answer = Answer::new(Strings { list, at: 0, _held: held });
    answer.warnings.extend(cut.map(|_| TRUNCATED.to_owned()));
    Ok(answer)
}

async fn strings(api: &Api, asked: &Asked, ask: LabelAsk) -> Result<(Vec<SmolStr>, Completeness), ApiError> {
    let call = Call::begin(api, None).await?;
    let mut lacks = Completeness::complete();
    let Some(range) = asked.range else { return Ok((Vec::new(), lacks)) };
    let everything = [Arc::from([])];
    let sets = if asked.sets.is_empty() { &everything[..] } else { &asked.sets };
    let mut all = BTreeSet::new();
    for matchers in sets {
        let select = asked.select(range, matchers);
        let work = asked.terms.queryable.labels(&call.ctx, &select, ask.clone());
        let found = call.run(async { Ok(work.await?) }).await?;
        lacks.merge(found.completeness);
        if sets.len() == 1 {
            return asked.terms.check(&lacks).map(|()| (found.value, lacks));
        }
        all.extend(found.value);
    }
    asked.terms.check(&lacks)?;
    Ok((all.into_iter().collect(), lacks))
}
