//! Parameters: of the query string, and of a POST's form, which stand first.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use dolmen_ctx::{Budget, Reservation};
use http::Method;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use smol_str::SmolStr;

use crate::error::ApiError;
use crate::instant;

/// The label that tells where Dolmen's own streams come from; a replica label always.
const OWN_LABEL: &str = "dolmen";

/// Most parameters of a request.
const PARAMETERS_MAX: usize = 10_000;

/// The parameters of a request.
#[derive(Debug)]
pub(crate) struct Form {
    pairs: Vec<(String, String)>,
    /// Memory of the form, as it came and decoded.
    _held: Reservation,
}

impl Form {
    /// Reads them; a form may take `max` bytes and `patience`, and its memory is taken from `budget`.
    pub async fn read(
        request: Request,
        max: usize,
        patience: Duration,
        budget: &Arc<Budget>,
    ) -> Result<Form, ApiError> {
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let mut held = budget.reserve(0)?;
        let mut pairs = Vec::new();
        if parts.method == Method::POST && kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let arriving = tokio::time::timeout(patience, collect(body, max, &mut held));
            let form =
                arriving.await.map_err(|_| ApiError::timeout("the form took too long to arrive"))??;
            decode(&form, &mut pairs)?;
        }
        decode(parts.uri.query().unwrap_or_default().as_bytes(), &mut pairs)?;
        Ok(Form { pairs, _held: held })
    }

    /// The first value of a parameter; empty where it is not given.
    pub fn first(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
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

async fn collect(mut body: Body, max: usize, held: &mut Reservation) -> Result<Vec<u8>, ApiError> {
    let mut form = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ApiError::bad_data(format!("error parsing form values: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if form.len() + data.len() > max {
            return Err(ApiError::too_large(max));
        }
        // Once as it came, once decoded.
        held.grow(2 * data.len() as u64).map_err(|e| ApiError::overloaded(e.to_string()))?;
        form.extend_from_slice(&data);
    }
    Ok(form)
}

/// `name=value&…`. A pair that is malformed is left out.
fn decode(text: &[u8], pairs: &mut Vec<(String, String)>) -> Result<(), ApiError> {
    for pair in text.split(|b| *b == b'&').filter(|p| !p.is_empty() && !p.contains(&b';')) {
        let at = pair.iter().position(|b| *b == b'=');
        let (name, value) = (&pair[..at.unwrap_or(pair.len())], at.map_or(&[][..], |at| &pair[at + 1..]));
        if pairs.len() == PARAMETERS_MAX {
            return Err(ApiError::bad_data(format!("more than {PARAMETERS_MAX} parameters")));
        }
        if let (Some(name), Some(value)) = (unescape(name, true), unescape(value, true)) {
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            pairs.push((text(name), text(value)));
        }
    }
    Ok(())
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
        decode(text.as_bytes(), &mut pairs).unwrap();
        Form { pairs, _held: Budget::new("memory", 0).reserve(0).unwrap() }
    }

    #[test]
    fn pairs() {
        let f = form("query=up%7Ba%3D%22b+c%22%7D&match[]=a&match%5B%5D=b&bad=%zz&x;y=1&empty&&e=");
        assert_eq!(f.first("query"), "up{a=\"b c\"}");
        assert_eq!(f.all("match[]").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((f.first("bad"), f.first("empty"), f.pairs.len()), ("", "", 5));
    }

    #[test]
    fn parameters_are_counted() {
        let mut pairs = Vec::new();
        assert!(decode("a&".repeat(PARAMETERS_MAX).as_bytes(), &mut pairs).is_ok());
        assert!(decode(b"one=more", &mut pairs).is_err());
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
