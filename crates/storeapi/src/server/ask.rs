//! What a request asks for, in our words.

use std::num::NonZeroU64;
use std::sync::Arc;

use dolmen_model::{Error, MatchOp, Matcher, Result, TimeRange, quote};
use dolmen_proto::hintspb;
use dolmen_proto::thanos::{LabelMatcher, PartialResponseStrategy};
use dolmen_storage::{Order, Select, Values};
use prost::Message;
use prost_types::Any;
use smol_str::SmolStr;

/// The label that tells where Dolmen's own streams come from: a replica label that never shows.
const OWN_LABEL: &str = "dolmen";

/// Said where blocks are chosen by their names.
const NO_BLOCK_NAMES: &str = "block matchers of the hints are not heeded here: all blocks were asked";

/// What is asked of labels or series. `None` of a range: nothing is, and the answer is empty.
pub(crate) struct Ask {
    pub select: Option<Select>,
    /// Whether an answer that lacks something is an error.
    pub abort: bool,
    /// What to warn of, whatever the answer is.
    pub warnings: Vec<String>,
}

/// What requests have in common.
pub(crate) struct Common<'a> {
    pub first: i64,
    pub last: i64,
    pub matchers: &'a [LabelMatcher],
    pub without: &'a [String],
    /// Whether our own label is left out too: another Dolmen asks for what it wants to know.
    pub hide_own: bool,
    pub limit: i64,
    pub partial_response_disabled: bool,
    pub strategy: i32,
}

impl Ask {
    pub fn new(asked: &Common<'_>, hints: Option<&Any>, hint: &'static str) -> Result<Ask> {
        let matchers = asked.matchers.iter().map(matcher).collect::<Result<Arc<[Matcher]>>>()?;
        let mut without: Vec<SmolStr> = asked.without.iter().map(SmolStr::from).collect();
        if asked.hide_own {
            without.push(SmolStr::new_static(OWN_LABEL));
        }
        without.sort_unstable();
        without.dedup();
        let select = TimeRange::inclusive(asked.first, asked.last).map(|range| Select {
            values: Values::None,
            order: Order::Labels,
            without: without.into(),
            limit: limit(asked.limit),
            ..Select::new(range, matchers)
        });
        let abort =
            asked.partial_response_disabled || asked.strategy == PartialResponseStrategy::Abort as i32;
        let named = names_blocks(hints, hint)?;
        let warnings = named.then(|| NO_BLOCK_NAMES.to_owned()).into_iter().collect();
        Ok(Ask { select, abort, warnings })
    }
}

/// A limit; 0 and less are none.
pub(crate) fn limit(n: i64) -> Option<NonZeroU64> {
    u64::try_from(n).ok().and_then(NonZeroU64::new)
}

fn matcher(m: &LabelMatcher) -> Result<Matcher> {
    let op = match m.r#type {
        0 => MatchOp::Eq,
        1 => MatchOp::Ne,
        2 => MatchOp::Re,
        3 => MatchOp::Nre,
        other => return Err(Error::invalid(format!("unrecognized label matcher type {other}"))),
    };
    Matcher::new(op, m.name.as_str(), m.value.as_str())
}

/// Whether hints choose blocks by their names. The three kinds of hints hold block matchers in one place.
fn names_blocks(hints: Option<&Any>, hint: &'static str) -> Result<bool> {
    let Some(any) = hints else { return Ok(false) };
    let kind = any.type_url.rsplit('/').next().unwrap_or_default();
    if kind != hint {
        let (got, want) = (quote(kind.as_bytes()), quote(hint.as_bytes()));
        return Err(Error::invalid(format!("hints: mismatched message type: got {got} want {want}")));
    }
    let hints = hintspb::SeriesRequestHints::decode(any.value.as_slice())
        .map_err(|e| Error::invalid(format!("read the hints: {e}")))?;
    Ok(!hints.block_matchers.is_empty())
}
