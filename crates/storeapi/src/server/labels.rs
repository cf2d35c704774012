//! `LabelNames` and `LabelValues`.

use dolmen_model::{Completeness, Error};
use dolmen_proto::thanos::{
    LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse, Missing,
};
use dolmen_storage::LabelAsk;
use http::HeaderMap;
use smol_str::SmolStr;
use tonic::{Code, Status};

use super::Server;
use super::ask::{Ask, Common};
use super::call::Call;
use super::status::{aborted, missing, status, text};

/// Strings, and what they lack.
#[derive(Default)]
struct Strings {
    values: Vec<String>,
    warnings: Vec<String>,
    missing: Vec<Missing>,
}

pub(crate) async fn names(
    server: &Server,
    headers: &HeaderMap,
    r: LabelNamesRequest,
) -> Result<LabelNamesResponse, Status> {
    let common = Common {
        first: r.start,
        last: r.end,
        matchers: &r.matchers,
        without: &r.without_replica_labels,
        hide_own: true,
        limit: r.limit,
        partial_response_disabled: r.partial_response_disabled,
        strategy: r.partial_response_strategy,
    };
    let ask = Ask::new(&common, r.hints.as_ref(), "hintspb.LabelNamesRequestHints");
    let Strings { values, warnings, missing } =
        timed(server, headers, "LabelNames", ask, LabelAsk::Names).await?;
    Ok(LabelNamesResponse { names: values, warnings, hints: None, missing })
}

pub(crate) async fn values(
    server: &Server,
    headers: &HeaderMap,
    r: LabelValuesRequest,
) -> Result<LabelValuesResponse, Status> {
    let common = Common {
        first: r.start,
        last: r.end,
        matchers: &r.matchers,
        without: &r.without_replica_labels,
        hide_own: true,
        limit: r.limit,
        partial_response_disabled: r.partial_response_disabled,
        strategy: r.partial_response_strategy,
    };
    let mut ask = Ask::new(&common, r.hints.as_ref(), "hintspb.LabelValuesRequestHints");
    if r.label.is_empty() {
        ask = Err(Error::invalid("the label has no name"));
    } else if r.without_replica_labels.contains(&r.label) {
        // Series are given without it.
        ask = ask.map(|ask| Ask { select: None, ..ask });
    }
    let ask_for = LabelAsk::Values(SmolStr::from(&r.label));
    let Strings { values, warnings, missing } = timed(server, headers, "LabelValues", ask, ask_for).await?;
    Ok(LabelValuesResponse { values, warnings, hints: None, missing })
}

async fn timed(
    server: &Server,
    headers: &HeaderMap,
    method: &'static str,
    ask: dolmen_model::Result<Ask>,
    what: LabelAsk,
) -> Result<Strings, Status> {
    let timer = server.metrics.begin(method);
    let answer = match ask {
        Ok(ask) => strings(server, headers, ask, what).await,
        Err(e) => Err(status(e)),
    };
    timer.answered(answer.as_ref().map_or_else(Status::code, |_| Code::Ok));
    answer
}

async fn strings(server: &Server, headers: &HeaderMap, ask: Ask, what: LabelAsk) -> Result<Strings, Status> {
    let mut strings = Strings { warnings: ask.warnings, ..Strings::default() };
    let Some(select) = ask.select else { return Ok(strings) };
    let call = Call::begin(server, headers).await?;
    let answer =
        call.run(async { server.queryable.labels(&call.ctx, &select, what).await.map_err(status) }).await?;
    let lacks: Completeness = answer.completeness;
    if !lacks.is_complete() {
        server.metrics.incomplete.inc();
        if ask.abort {
            return Err(aborted(&lacks));
        }
    }
    strings.warnings.extend(lacks.missing.iter().map(text));
    strings.missing.extend(lacks.missing.iter().map(missing));
    let limit = select.limit.map_or(usize::MAX, |n| usize::try_from(n.get()).unwrap_or(usize::MAX));
    strings.values = answer.value.into_iter().take(limit).map(String::from).collect();
    Ok(strings)
}
