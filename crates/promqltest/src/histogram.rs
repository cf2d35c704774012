//! Histograms as scripts write them: `{{schema:0 sum:5 count:4 buckets:[1 2 1]}}`.

use std::sync::Arc;

use dolmen_model::{FloatHistogram, HistLayout, ResetHint, Span};
use dolmen_promql_exec::histogram::{add, sub};

use crate::series::{Cursor, Written, signed, times};

/// A histogram, or several: `{{…}}x3`, `{{…}}+{{…}}x3`.
pub fn item(c: &mut Cursor<'_>, out: &mut Vec<Option<Written>>) -> Result<(), String> {
    let (first, hint) = literal(c)?;
    let minus = c.take("-");
    let by = if minus || c.take("+") { Some(literal(c)?.0) } else { None };
    let n = times(c)?;
    if by.is_some() && n.is_none() {
        return Err(format!("expected \"x\" before {:?}", c.rest()));
    }
    let mut h = first;
    for i in 0..=n.unwrap_or(0) {
        if let Some(by) = by.as_ref().filter(|_| i > 0) {
            if by.layout.schema < h.layout.schema {
                return Err("the schema of what is added is lower".to_owned());
            }
            let done = if minus { sub(&mut h, by) } else { add(&mut h, by) };
            done.map_err(|_| "the two histograms do not go together".to_owned())?;
        }
        out.push(Some(Written::Histogram(Box::new(h.clone()), hint)));
    }
    Ok(())
}

#[derive(Default)]
struct Draft {
    layout: HistLayout,
    hint: Option<ResetHint>,
    count: f64,
    sum: f64,
    zero_count: f64,
    positive: (i32, Vec<f64>),
    negative: (i32, Vec<f64>),
}

/// A histogram, and whether its reset hint was written.
fn literal(c: &mut Cursor<'_>) -> Result<(FloatHistogram, bool), String> {
    c.expect("{{")?;
    let mut draft = Draft::default();
    let mut seen = Vec::new();
    loop {
        c.space();
        if c.take("}}") {
            break;
        }
        let key = c.take_while(|c| c.is_ascii_lowercase() || c == '_');
        if seen.contains(&key) {
            return Err(format!("{key:?} is given twice"));
        }
        seen.push(key);
        c.expect(":")?;
        field(key, c, &mut draft)?;
    }
    let spans = |(offset, counts): &(i32, Vec<f64>)| match counts.len() {
        0 => Vec::new(),
        n => vec![Span { offset: *offset, length: n as u32 }],
    };
    draft.layout.positive_spans = spans(&draft.positive);
    draft.layout.negative_spans = spans(&draft.negative);
    let h = FloatHistogram {
        layout: Arc::new(draft.layout),
        count: draft.count,
        zero_count: draft.zero_count,
        sum: draft.sum,
        hint: draft.hint.unwrap_or_default(),
        positive: draft.positive.1,
        negative: draft.negative.1,
    };
    Ok((h, draft.hint.is_some()))
}

fn field(key: &str, c: &mut Cursor<'_>, to: &mut Draft) -> Result<(), String> {
    match key {
        "schema" => to.layout.schema = signed(c)? as i32,
        "sum" => to.sum = signed(c)?,
        "count" => to.count = signed(c)?,
        "z_bucket" => to.zero_count = signed(c)?,
        "z_bucket_w" => to.layout.zero_threshold = signed(c)?,
        "offset" => to.positive.0 = signed(c)? as i32,
        "n_offset" => to.negative.0 = signed(c)? as i32,
        "buckets" => to.positive.1 = list(c)?,
        "n_buckets" => to.negative.1 = list(c)?,
        "custom_values" => to.layout.custom_values = list(c)?,
        "counter_reset_hint" => {
            to.hint = Some(match c.take_while(|c| c.is_ascii_lowercase() || c == '_') {
                "unknown" => ResetHint::Unknown,
                "reset" => ResetHint::Reset,
                "not_reset" => ResetHint::NotReset,
                "gauge" => ResetHint::Gauge,
                other => return Err(format!("{other:?} is no hint")),
            });
        }
        other => return Err(format!("a histogram has no {other:?}")),
    }
    Ok(())
}

fn list(c: &mut Cursor<'_>) -> Result<Vec<f64>, String> {
    c.expect("[")?;
    let mut out = Vec::new();
    loop {
        c.space();
        if c.take("]") {
            return Ok(out);
        }
        out.push(signed(c)?);
    }
}
