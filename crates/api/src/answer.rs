//! Answers: `{"status":"success","data":…,"warnings":[…],"infos":[…]}`, sent in pieces.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dolmen_model::{Completeness, Missing, TimeRange, Timestamp};
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use serde_json::json;

use crate::json::Json;

/// Bytes of a piece, about: an answer up to here is sent whole, with its length.
pub(crate) const PIECE: usize = 64 << 10;

/// The header of an answer that lacks something.
const COMPLETE: HeaderName = HeaderName::from_static("dolmen-complete");

/// Writes something long piece by piece.
pub(crate) trait Feed: Send + 'static {
    /// Writes on until `out` holds about `until` bytes; says whether there is more.
    fn feed(&mut self, out: &mut Json, until: usize) -> bool;
}

/// Something short, written already.
pub(crate) struct Written(pub String);

impl Feed for Written {
    fn feed(&mut self, out: &mut Json, _until: usize) -> bool {
        out.raw(&self.0);
        false
    }
}

/// A success.
pub(crate) struct Answer {
    /// What stands before the data, inside `data`.
    pub before: String,
    /// The data.
    pub data: Box<dyn Feed>,
    /// What stands behind it.
    pub after: String,
    /// What may make it wrong.
    pub warnings: Vec<String>,
    /// What may be worth knowing.
    pub infos: Vec<String>,
    /// What it lacks.
    pub missing: Vec<Missing>,
}

impl Answer {
    /// With nothing beside the data.
    pub fn new(data: impl Feed) -> Answer {
        Answer {
            before: String::new(),
            data: Box::new(data),
            after: String::new(),
            warnings: Vec::new(),
            infos: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// JSON that is written already.
    pub fn json(json: impl Into<String>) -> Answer {
        Answer::new(Written(json.into()))
    }

    /// Says what is missing.
    pub fn lacks(mut self, completeness: &Completeness) -> Answer {
        self.warnings.extend(completeness.missing.iter().map(Missing::to_string));
        self.missing.extend_from_slice(&completeness.missing);
        self
    }
}

/// `,"completeness":{"complete":false,"missing":[…]}`; times in milliseconds, both inclusive.
fn completeness(missing: &[Missing]) -> String {
    let one = |m: &Missing| {
        json!({
            "site": m.site.as_str(), "store": m.store.as_str(), "cause": m.cause,
            "mint": m.range.mint(), "maxt": last(m.range),
        })
    };
    let missing: Vec<_> = missing.iter().map(one).collect();
    format!(",\"completeness\":{}", json!({"complete": false, "missing": missing}))
}

/// The last millisecond of a range. Where it is open it stays so.
pub(crate) fn last(range: TimeRange) -> Timestamp {
    if range.maxt() == Timestamp::MAX { Timestamp::MAX } else { range.maxt() - 1 }
}

/// What is written next.
enum Stage {
    Data,
    Done,
}

struct Sending {
    answer: Answer,
    stage: Stage,
    out: Json,
}

impl Sending {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> Option<Bytes> {
        if matches!(self.stage, Stage::Done) {
            return None;
        }
        self.out.expect(PIECE);
        if !self.answer.data.feed(&mut self.out, PIECE) {
            let out = &mut self.out;
            out.raw(&self.answer.after);
            for (name, texts) in
                [(",\"warnings\":", &self.answer.warnings), (",\"infos\":", &self.answer.infos)]
            {
                if !texts.is_empty() {
                    out.raw(name);
                    out.texts(texts);
                }
            }
            if !self.answer.missing.is_empty() {
                out.raw(&completeness(&self.answer.missing));
            }
            out.raw("}");
            self.stage = Stage::Done;
        }
        Some(self.out.take())
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let incomplete = !self.missing.is_empty();
        let mut sending = Sending { answer: self, stage: Stage::Data, out: Json::default() };
        sending.out.raw("{\"status\":\"success\",\"data\":");
        sending.out.raw(&sending.answer.before);
        let first = sending.next().unwrap_or_default();
        let body = match sending.stage {
            Stage::Done => Body::from(first),
            Stage::Data => {
                let rest = stream::iter(std::iter::from_fn(move || sending.next()));
                Body::from_stream(stream::StreamExt::map(
                    stream::StreamExt::chain(stream::iter([first]), rest),
                    Ok::<_, std::convert::Infallible>,
                ))
            }
        };
        let mut answer = Response::new(body);
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if incomplete {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(COMPLETE, HeaderValue::from_static("false"));
        }
        answer
    }
}
