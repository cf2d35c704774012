//! Parameters: of the query string, and of a POST's form, which stand first.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use http::Method;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use smol_str::SmolStr;

use crate::error::ApiError;
use crate::instant;

/// The label that tells where Dolmen's own streams come from; a replica label always.
const OWN_LABEL: &str = "dolmen";

/// The parameters of a request.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads them; a form may take `max` bytes and `patience`.
    pub async fn read(request: Request, max: usize, patience: Duration) -> Result<Form, ApiError> {
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let is_form = kind.split(';').next().unwrap_or_default().trim();
        let mut pairs = Vec::new();
        if parts.method == Method::POST && is_form.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let body = tokio::time::timeout(patience, collect(body, max));
            decode(
                &body.await.map_err(|_| ApiError::timeout("the form took too long to arrive"))??,
                &mut pairs,
            );
        }
        decode(parts.uri.query().unwrap_or_default().as_bytes(), &mut pairs);
        Ok(Form(pairs))
    }

    /// The first value of a parameter; empty where it is not given.
    pub fn first(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A time.
    pub fn time(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        match self.first(name) {
            "" => Ok(default),
            text => instant::time(text)
                .map_err(|e| ApiError::parameter(name, format!("invalid time value for '{name}': {e}"))),
        }
    }

    /// A time that must be given.
    pub fn required_time(&self, name: &str) -> Result<i64, ApiError> {
        instant::time(self.first(name)).map_err(|e| ApiError::parameter(name, e))
    }

    /// A duration that must be given, in nanoseconds.
    pub fn required_duration(&self, name: &str) -> Result<i64, ApiError> {
        instant::duration(self.first(name)).map_err(|e| ApiError::parameter(name, e))
    }

    /// `limit`.
    pub fn limit(&self) -> Result<Option<usize>, ApiError> {
        instant::limit(self.first("limit")).map_err(|e| ApiError::parameter("limit", e))
    }

    /// `timeout`.
    pub fn timeout(&self) -> Result<Option<Duration>, ApiError> {
        match self.first("timeout") {
            "" => Ok(None),
            _ => Ok(Some(Duration::from_nanos(self.required_duration("timeout")?.max(0) as u64))),
        }
    }

    /// `lookback_delta` in milliseconds.
    pub fn lookback(&self, default: i64) -> Result<i64, ApiError> {
        match self.first("lookback_delta") {
            "" => Ok(default),
            text => match instant::duration(text) {
                Ok(ns) if ns >= 1_000_000 => Ok(ns / 1_000_000),
                Ok(_) => Ok(default),
                Err(e) => Err(ApiError::bad_data(format!("error parsing lookback delta duration: {e}"))),
            },
        }
    }

    /// A yes or no.
    pub fn boolean(&self, name: &str, default: bool) -> Result<bool, ApiError> {
        instant::boolean(self.first(name), default).map_err(|e| ApiError::parameter(name, e))
    }

    /// Labels that are left out of every answer: those that tell replicas apart, and our own.
    pub fn without(&self, configured: &[SmolStr]) -> Result<Vec<SmolStr>, ApiError> {
        let mut without = vec![SmolStr::new_static(OWN_LABEL)];
        if self.boolean("dedup", true)? {
            let asked: Vec<SmolStr> = self.all("replicaLabels[]").map(SmolStr::from).collect();
            without.extend_from_slice(if asked.is_empty() { configured } else { &asked });
            without.retain(|name| !name.is_empty());
            without.sort_unstable();
            without.dedup();
        }
        Ok(without)
    }
}

async fn collect(body: Body, max: usize) -> Result<bytes::Bytes, ApiError> {
    match Limited::new(body, max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(ApiError::too_large(max)),
        Err(e) => Err(ApiError::bad_data(format!("error parsing form values: {e}"))),
    }
}

/// `name=value&…`. A pair that is malformed is left out.
fn decode(text: &[u8], pairs: &mut Vec<(String, String)>) {
    for pair in text.split(|b| *b == b'&').filter(|p| !p.is_empty() && !p.contains(&b';')) {
        let at = pair.iter().position(|b| *b == b'=');
        let (name, value) = (&pair[..at.unwrap_or(pair.len())], at.map_or(&[][..], |at| &pair[at + 1..]));
        if let (Some(name), Some(value)) = (unescape(name, true), unescape(value, true)) {
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            pairs.push((text(name), text(value)));
        }
    }
}

/// Bytes behind `%XX`; in forms `+` is a space. `None` where a `%` is not followed by two digits.
pub(crate) fn unescape(text: &[u8], plus: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'%' => {
                let mut digit = || char::from(*bytes.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            b'+' if plus => b' ',
            b => *b,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Form {
        let mut pairs = Vec::new();
        decode(text.as_bytes(), &mut pairs);
        Form(pairs)
    }

    #[test]
    fn pairs() {
        let f = form("query=up%7Ba%3D%22b+c%22%7D&match[]=a&match%5B%5D=b&bad=%zz&x;y=1&empty&&e=");
        assert_eq!(f.first("query"), "up{a=\"b c\"}");
        assert_eq!(f.all("match[]").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((f.first("bad"), f.first("empty"), f.0.len()), ("", "", 5));
    }

    #[test]
    fn replica_labels() {
        let configured = [SmolStr::new("replica")];
        let without = |text: &str| form(text).without(&configured).unwrap().join(",");
        assert_eq!(without(""), "dolmen,replica");
        assert_eq!(without("dedup=false&replicaLabels[]=a"), "dolmen");
        assert_eq!(without("replicaLabels[]=b&replicaLabels[]=a&replicaLabels[]=dolmen"), "a,b,dolmen");
        assert!(form("dedup=maybe").without(&configured).is_err());
    }
}
