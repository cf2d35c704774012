//! Values as JSON, piece by piece.

use dolmen_promql::{Sample, Series, Value, VectorSample};

use crate::answer::Feed;
use crate::json::Json;

/// Writes `"resultType":…,"result":…`.
pub(crate) struct ValueFeed {
    value: Value,
    /// Next sample of a vector, or series of a matrix.
    at: usize,
    /// Where in that series.
    part: Part,
}

/// What of a series is written next.
#[derive(Clone, Copy)]
enum Part {
    Labels,
    Floats(usize),
    Histograms(usize),
}

impl ValueFeed {
    pub fn new(value: Value) -> ValueFeed {
        ValueFeed { value, at: 0, part: Part::Labels }
    }

    /// The name of its type.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Scalar(..) => "scalar",
            Value::String(..) => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        }
    }
}

impl Feed for ValueFeed {
    fn feed(&mut self, out: &mut Json, until: usize) -> bool {
        match &self.value {
            Value::Scalar(t, v) => {
                out.raw("[");
                out.time_number(*t);
                out.raw(",");
                out.plain_value(*v);
                out.raw("]");
                false
            }
            Value::String(t, s) => {
                out.raw("[");
                out.time_number(*t);
                out.raw(",");
                out.text(s);
                out.raw("]");
                false
            }
            Value::Vector(samples) => {
                if self.at == 0 {
                    out.raw("[");
                }
                while out.len() < until && self.at < samples.len() {
                    out.comma(self.at);
                    vector_sample(&samples[self.at], out);
                    self.at += 1;
                }
                close(self.at == samples.len(), out)
            }
            Value::Matrix(series) => {
                if self.at == 0 && matches!(self.part, Part::Labels) {
                    out.raw("[");
                }
                while out.len() < until && self.at < series.len() {
                    match matrix_piece(&series[self.at], self.part, self.at, out, until) {
                        Some(part) => self.part = part,
                        None => (self.at, self.part) = (self.at + 1, Part::Labels),
                    }
                }
                close(self.at == series.len(), out)
            }
        }
    }
}

fn close(done: bool, out: &mut Json) -> bool {
    if done {
        out.raw("]");
    }
    !done
}

fn vector_sample(s: &VectorSample, out: &mut Json) {
    out.raw("{\"metric\":");
    out.labels(s.labels.iter());
    match &s.value {
        Sample::Float(v) => {
            out.raw(",\"value\":");
            out.float_point(s.t, *v);
        }
        Sample::Histogram(h) => {
            out.raw(",\"histogram\":");
            out.histogram_point(s.t, h);
        }
    }
    out.raw("}");
}

/// Writes on from `part` and says where it stopped; `None` once the series is whole.
fn matrix_piece(s: &Series, part: Part, place: usize, out: &mut Json, until: usize) -> Option<Part> {
    match part {
        Part::Labels => {
            out.comma(place);
            out.raw("{\"metric\":");
            out.labels(s.labels.iter());
            Some(Part::Floats(0))
        }
        Part::Floats(mut i) => {
            if i == 0 && !s.floats.is_empty() {
                out.raw(",\"values\":[");
            }
            // At least one point a call: what opens the list is written once.
            while i < s.floats.len() && (i == 0 || out.len() < until) {
                out.comma(i);
                let (t, v) = s.floats[i];
                out.float_point(t, v);
                i += 1;
            }
            if i < s.floats.len() {
                return Some(Part::Floats(i));
            }
            out.raw(if s.floats.is_empty() { "" } else { "]" });
            Some(Part::Histograms(0))
        }
        Part::Histograms(mut i) => {
            if i == 0 && !s.histograms.is_empty() {
                out.raw(",\"histograms\":[");
            }
            while i < s.histograms.len() && (i == 0 || out.len() < until) {
                out.comma(i);
                let (t, h) = &s.histograms[i];
                out.histogram_point(*t, h);
                i += 1;
            }
            if i < s.histograms.len() {
                return Some(Part::Histograms(i));
            }
            out.raw(if s.histograms.is_empty() { "}" } else { "]}" });
            None
        }
    }
}

/// Cuts a value down to `limit` series; says whether something was cut off.
pub(crate) fn truncate(value: &mut Value, limit: usize) -> bool {
    let cut = |len: usize| len > limit;
    match value {
        Value::Vector(v) if cut(v.len()) => v.truncate(limit),
        Value::Matrix(m) if cut(m.len()) => m.truncate(limit),
        _ => return false,
    }
    true
}

/// Bytes of memory that a value takes, about.
pub(crate) fn bytes(value: &Value) -> u64 {
    let histogram =
        |h: &dolmen_model::FloatHistogram| size_of_val(h) + 8 * (h.positive.len() + h.negative.len());
    let bytes: usize = match value {
        Value::Scalar(..) => 0,
        Value::String(_, s) => s.len(),
        Value::Vector(v) => v
            .iter()
            .map(|s| {
                size_of_val(s)
                    + s.labels.bytes()
                    + match &s.value {
                        Sample::Float(_) => 0,
                        Sample::Histogram(h) => histogram(h),
                    }
            })
            .sum(),
        Value::Matrix(m) => m
            .iter()
            .map(|s| {
                let histograms: usize = s.histograms.iter().map(|(_, h)| 8 + histogram(h)).sum();
                size_of_val(s) + s.labels.bytes() + 16 * s.floats.len() + histograms
            })
            .sum(),
    };
    bytes as u64
}
