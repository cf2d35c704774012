//! A client of the Prometheus HTTP API.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// A client with a base URL.
#[derive(Clone)]
pub struct Client {
    base: String,
    http: reqwest::blocking::Client,
}

/// An answer with what stands around it.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The header `Dolmen-Complete`.
    pub complete: Option<String>,
    /// The header `Cache-Control`.
    pub cache_control: Option<String>,
    /// The body.
    pub body: Value,
    /// Time to its last byte.
    pub took: Duration,
}

/// A label set, as JSON has it.
pub type Metric = BTreeMap<String, String>;

/// One series of an answer: times in milliseconds, values as bits so that NaNs compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels.
    pub metric: Metric,
    /// Its samples.
    pub points: Vec<(i64, u64)>,
}

#[derive(Deserialize)]
struct RawSeries {
    metric: Metric,
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

impl Client {
    /// Of `127.0.0.1:1234` or a whole URL.
    pub fn new(address: &str) -> Client {
        let base = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let http = reqwest::blocking::Client::builder()
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()
            .expect("a client without TLS files to read can be built");
        Client { base, http }
    }

    /// The base URL.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// GET: status and body.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let response = self.http.get(format!("{}{path}", self.base)).send()?;
        Ok((response.status().as_u16(), response.text()?))
    }

    /// POST of a form: status and body.
    pub fn form(&self, path: &str, form: &[(&str, &str)]) -> Result<(u16, Value)> {
        let response = self.http.post(format!("{}{path}", self.base)).form(form).send()?;
        let status = response.status().as_u16();
        let text = response.text()?;
        Ok((status, serde_json::from_str(&text).with_context(|| format!("{path}: {status} {text}"))?))
    }

    /// GET with parameters, and all that comes back.
    pub fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Reply> {
        let began = Instant::now();
        let response = self.http.get(format!("{}{path}", self.base)).query(parameters).send()?;
        let status = response.status().as_u16();
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap_or_default().to_owned())
        };
        let (complete, cache_control) = (header("dolmen-complete"), header("cache-control"));
        let text = response.text()?;
        let took = began.elapsed();
        let body = serde_json::from_str(&text).with_context(|| format!("{path}: {status} {text}"))?;
        Ok(Reply { status, complete, cache_control, body, took })
    }

    /// POST of a body with headers: status and text.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<(u16, String)> {
        let mut request = self.http.post(format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send()?;
        Ok((response.status().as_u16(), response.text()?))
    }

    /// An instant query at `t` ms; series sorted by labels.
    pub fn instant(&self, query: &str, t: i64, more: &[(&str, &str)]) -> Result<Vec<Series>> {
        let time = format!("{}.{:03}", t.div_euclid(1000), t.rem_euclid(1000));
        let mut form = vec![("query", query), ("time", time.as_str())];
        form.extend_from_slice(more);
        self.series("/api/v1/query", &form, query)
    }

    /// The whole body of a query, where it is a success.
    pub fn query(&self, path: &str, form: &[(&str, &str)]) -> Result<Value> {
        let (status, body) = self.form(path, form)?;
        if status != 200 || body["status"] != "success" {
            bail!("{path} {form:?}: {status} {body}");
        }
        Ok(body)
    }

    fn series(&self, path: &str, form: &[(&str, &str)], query: &str) -> Result<Vec<Series>> {
        let mut body = self.query(path, form)?;
        let raw: Vec<RawSeries> = serde_json::from_value(body["data"]["result"].take())
            .with_context(|| format!("{query}: a vector or matrix of floats"))?;
        let mut out: Vec<Series> = raw
            .into_iter()
            .map(|s| Series {
                metric: s.metric,
                points: s.values.iter().chain(&s.value).map(|(t, v)| (millis(*t), bits(v))).collect(),
            })
            .collect();
        out.sort_by(|a, b| a.metric.cmp(&b.metric));
        Ok(out)
    }
}

fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// The bits of a printed value; all NaNs that print alike are one.
fn bits(v: &str) -> u64 {
    match v {
        "+Inf" => f64::INFINITY.to_bits(),
        "-Inf" => f64::NEG_INFINITY.to_bits(),
        "NaN" => f64::NAN.to_bits(),
        v => v.parse::<f64>().unwrap_or(f64::NAN).to_bits(),
    }
}
