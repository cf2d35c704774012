//! Functions of all elements of all steps: classic histograms, orders, new label sets, absence.

use dolmen_model::{FloatBuffer, FloatHistogram, Labels, METRIC_NAME, format_float_general};
use hashbrown::HashMap;

use super::classic::{self, Bucket, Forced, parse_bound};
use super::relabel::Relabel;
use super::{GroupCall, GroupFn, GroupKernel, drop_name, order};
use crate::annotation::{Annotations, Repair};
use crate::batch::{Cell, StepBatch, ones};
use crate::error::Result;
use crate::histogram::{self, Nans};

/// The function of a name, where it is one of all elements.
pub fn find(name: &str) -> Option<GroupFn> {
    FUNCTIONS.iter().find(|f| f.name == name).copied()
}

const FUNCTIONS: &[GroupFn] = {
    const fn f(name: &'static str, kernel: GroupKernel) -> GroupFn {
        GroupFn { name, kernel }
    }
    &[
        f("absent", absent),
        f("histogram_fraction", histogram_fraction),
        f("histogram_quantile", histogram_quantile),
        f("histogram_quantiles", histogram_quantiles),
        f("label_join", label_join),
        f("label_replace", label_replace),
        f("sort", sort),
        f("sort_by_label", sort_by_label),
        f("sort_by_label_desc", sort_by_label),
        f("sort_desc", sort),
    ]
};

fn absent(call: &GroupCall<'_>, input: StepBatch, _: &mut Annotations) -> Result<StepBatch> {
    let mut out = StepBatch::new(input.steps());
    let row = out.push(call.absent_labels.clone(), false);
    for step in 0..input.steps() {
        if (0..input.len()).all(|row| input.cell(row, step).is_none()) {
            out.set(row, step, 1.0);
        }
    }
    Ok(out)
}

fn label_replace(call: &GroupCall<'_>, input: StepBatch, _: &mut Annotations) -> Result<StepBatch> {
    let [to, template, from, pattern] = call.strings else { return Ok(input) };
    Ok(relabel(&Relabel::replace(to, template, from, pattern)?, input))
}

fn label_join(call: &GroupCall<'_>, input: StepBatch, _: &mut Annotations) -> Result<StepBatch> {
    let [to, separator, from @ ..] = call.strings else { return Ok(input) };
    let from: Vec<&str> = from.iter().map(String::as_str).collect();
    Ok(relabel(&Relabel::join(to, separator, &from)?, input))
}

fn relabel(rule: &Relabel, mut input: StepBatch) -> StepBatch {
    for head in &mut input.heads {
        if let Some(labels) = rule.apply(head.labels.as_ref()) {
            head.labels = labels;
            head.drop_name &= !rule.names_metric();
        }
    }
    input
}

/// Range queries order their answer by labels: there a sort does nothing, and says so.
fn ineffective(call: &GroupCall<'_>, notes: &mut Annotations) -> bool {
    let many = call.grid.steps > 1;
    if many {
        let text = "sort is ineffective for range queries since results are always ordered by labels";
        notes.warn(text, call.pos);
    }
    many
}

fn sort(call: &GroupCall<'_>, mut input: StepBatch, notes: &mut Annotations) -> Result<StepBatch> {
    if input.has_hists() {
        for row in 0..input.len() {
            input.hists_mut(row).clear();
        }
    }
    if ineffective(call, notes) || input.steps() == 0 {
        return Ok(input);
    }
    let rows = (0..input.len()).filter(|row| input.valid(*row)[0] & 1 == 1);
    let mut rows: Vec<(f64, usize)> = rows.map(|row| (input.floats(row)[0], row)).collect();
    order::by_value(&mut rows, call.name == "sort_desc");
    let rows: Vec<usize> = rows.into_iter().map(|(_, row)| row).collect();
    input.select_rows(&rows);
    Ok(input)
}

fn sort_by_label(call: &GroupCall<'_>, mut input: StepBatch, notes: &mut Annotations) -> Result<StepBatch> {
    if ineffective(call, notes) {
        return Ok(input);
    }
    let labels = |row: &usize| input.heads[*row].labels.as_ref();
    let names = || call.strings.iter().map(String::as_str);
    let mut rows: Vec<usize> = (0..input.len()).collect();
    rows.sort_by(|a, b| order::by_labels(labels(a), labels(b), names(), call.name == "sort_by_label_desc"));
    input.select_rows(&rows);
    Ok(input)
}

fn histogram_quantile(call: &GroupCall<'_>, input: StepBatch, notes: &mut Annotations) -> Result<StepBatch> {
    let [q, ..] = call.scalars else { return Ok(input) };
    check_quantiles(call, 0, q, notes);
    let mut out = StepBatch::new(input.steps());
    let mut buckets = Vec::new();
    for source in sources(call, &input, notes) {
        let row = out.push(source.result_labels(call), call.delayed_names);
        for (step, q) in q.iter().enumerate() {
            if let Some(mut h) = source.at(call, &input, step, &mut buckets, notes) {
                out.set(row, step, source.quantile(call, &mut h, *q, step, notes));
            }
        }
    }
    Ok(out)
}

fn histogram_quantiles(call: &GroupCall<'_>, input: StepBatch, notes: &mut Annotations) -> Result<StepBatch> {
    let [label, ..] = call.strings else { return Ok(input) };
    // The vector and the label come before the quantiles.
    call.scalars.iter().enumerate().for_each(|(i, q)| check_quantiles(call, i + 2, q, notes));
    let mut out = StepBatch::new(input.steps());
    let mut buckets = Vec::new();
    let mut number = FloatBuffer::default();
    for source in sources(call, &input, notes) {
        // Quantiles may differ from step to step, and with them the labels.
        let mut rows: Vec<(u64, usize)> = Vec::new();
        for step in 0..input.steps() {
            let Some(mut h) = source.at(call, &input, step, &mut buckets, notes) else { continue };
            for q in call.scalars.iter().map(|q| q[step]) {
                let v = source.quantile(call, &mut h, q, step, notes);
                let row = rows.iter().find(|(bits, _)| *bits == q.to_bits()).map(|(_, row)| *row);
                let row = row.unwrap_or_else(|| {
                    let labels = source.result_labels(call).edit().set(label, number.open_metrics(q)).build();
                    let row = out.push(labels, call.delayed_names);
                    rows.push((q.to_bits(), row));
                    row
                });
                out.set(row, step, v);
            }
        }
    }
    Ok(out)
}

fn histogram_fraction(call: &GroupCall<'_>, input: StepBatch, notes: &mut Annotations) -> Result<StepBatch> {
    let [lower, upper, ..] = call.scalars else { return Ok(input) };
    let mut out = StepBatch::new(input.steps());
    let mut buckets = Vec::new();
    for source in sources(call, &input, notes) {
        let row = out.push(source.result_labels(call), call.delayed_names);
        for (step, (lower, upper)) in lower.iter().zip(upper).enumerate() {
            let v = match source.at(call, &input, step, &mut buckets, notes) {
                None => continue,
                Some(Observed::Classic(buckets)) => classic::fraction(*lower, *upper, buckets),
                Some(Observed::Native(h)) => {
                    let (v, nans) = histogram::fraction(*lower, *upper, h);
                    if nans {
                        let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
                        notes.info(source.named(call, text), call.vector);
                    }
                    v
                }
            };
            out.set(row, step, v);
        }
    }
    Ok(out)
}

fn check_quantiles(call: &GroupCall<'_>, arg: usize, q: &[f64], notes: &mut Annotations) {
    for q in q.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
        let text = format!("quantile value should be between 0 and 1, got {}", format_float_general(*q));
        notes.warn(text, call.args.get(arg).copied().unwrap_or(call.pos));
    }
}

/// Where the observations of one label set come from: series of buckets, which differ in `le` only, or a
/// series of native histograms. Both at one step contradict each other.
struct Source {
    /// Without `le` where it has series of buckets.
    labels: Labels,
    /// Upper bounds, ascending, and rows of buckets.
    buckets: Vec<(f64, usize)>,
    /// Row of native histograms.
    native: Option<usize>,
}

/// Observations of one step.
enum Observed<'a> {
    Classic(&'a mut Vec<Bucket>),
    Native(&'a FloatHistogram),
}

fn sources(call: &GroupCall<'_>, input: &StepBatch, notes: &mut Annotations) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    let mut known: HashMap<Labels, usize> = HashMap::new();
    let mut source = |labels: Labels| {
        *known.entry(labels).or_insert_with_key(|labels| {
            sources.push(Source { labels: labels.clone(), buckets: Vec::new(), native: None });
            sources.len() - 1
        })
    };
    let mut placed: Vec<(usize, Option<f64>, usize)> = Vec::new();
    for row in 0..input.len() {
        let labels = &input.heads[row].labels;
        if !input.hists(row).is_empty() {
            placed.push((source(labels.clone()), None, row));
        }
        if ones(input.valid(row)).next().is_none() {
            continue;
        }
        let le = labels.get("le").unwrap_or_default();
        match parse_bound(le) {
            Some(bound) => {
                let labels = labels.edit().remove("le").build();
                placed.push((source(labels), Some(bound), row));
            }
            None => {
                let text = format!("bucket label \"le\" is missing or has a malformed value of {le:?}");
                notes.warn(named(call, labels, &text), call.vector);
            }
        }
    }
    for (at, bound, row) in placed {
        match bound {
            Some(bound) => sources[at].buckets.push((bound, row)),
            None => sources[at].native = Some(row),
        }
    }
    for source in &mut sources {
        source.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    sources
}

/// A text with the metric's name, where names are still there at this point.
fn named(call: &GroupCall<'_>, labels: &Labels, text: &str) -> String {
    match labels.get(METRIC_NAME) {
        Some(name) if call.delayed_names => format!("{text} for metric name {name:?}"),
        _ => text.to_owned(),
    }
}

impl Source {
    fn result_labels(&self, call: &GroupCall<'_>) -> Labels {
        if call.delayed_names { self.labels.clone() } else { drop_name(&self.labels) }
    }

    fn named(&self, call: &GroupCall<'_>, text: &str) -> String {
        named(call, &self.labels, text)
    }

    /// What was observed at a step; nothing where classic and native histograms are both there.
    fn at<'a>(
        &self,
        call: &GroupCall<'_>,
        input: &'a StepBatch,
        step: usize,
        buckets: &'a mut Vec<Bucket>,
        notes: &mut Annotations,
    ) -> Option<Observed<'a>> {
        buckets.clear();
        for (upper, row) in &self.buckets {
            if let Some(Cell::Float(count)) = input.cell(*row, step) {
                buckets.push(Bucket { upper: *upper, count });
            }
        }
        let native = self.native.and_then(|row| match input.cell(row, step) {
            Some(Cell::Histogram(h)) => Some(&**h),
            _ => None,
        });
        match (native, buckets.is_empty()) {
            (Some(_), false) => {
                let text = "vector contains a mix of classic and native histograms";
                notes.warn(self.named(call, text), call.vector);
                None
            }
            (Some(h), true) => Some(Observed::Native(h)),
            (None, false) => Some(Observed::Classic(buckets)),
            (None, true) => None,
        }
    }

    fn quantile(
        &self,
        call: &GroupCall<'_>,
        observed: &mut Observed<'_>,
        q: f64,
        step: usize,
        notes: &mut Annotations,
    ) -> f64 {
        match observed {
            Observed::Classic(buckets) => {
                let (v, forced) = classic::quantile(q, buckets);
                if let Some(forced) = forced {
                    self.tell_forced(call, forced, step, notes);
                }
                v
            }
            Observed::Native(h) => {
                let (v, nans) = histogram::quantile(q, *h);
                let result = match nans {
                    Nans::None => return v,
                    Nans::Skewed => "is skewed higher",
                    Nans::Result => "is NaN",
                };
                let text = format!("input to histogram_quantile has NaN observations, result {result}");
                notes.info(self.named(call, &text), call.vector);
                v
            }
        }
    }

    fn tell_forced(&self, call: &GroupCall<'_>, forced: Forced, step: usize, notes: &mut Annotations) {
        let text = "input to histogram_quantile needed to be fixed for monotonicity (see \
                    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        let t = call.grid.at(step);
        let repair = Repair {
            times: (t, t),
            bounds: (forced.min_bound, forced.max_bound),
            diff: forced.max_diff,
            samples: 1,
        };
        notes.repaired(self.named(call, text), call.vector, repair);
    }
}
