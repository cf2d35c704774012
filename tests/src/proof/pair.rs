//! What Dolmen answers beside what each Prometheus of an HA pair holds.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::Figures;
use crate::exporter;
use crate::http::{Client, Metric, Series};

/// Scrape interval of the pairs.
pub const INTERVAL_MS: i64 = 1000;

/// Time that is compared, before a moment.
const WINDOW_MS: i64 = 600_000;

/// What is compared: of the exporters, of Prometheus itself, with matchers of all kinds.
pub const SELECTORS: [&str; 30] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "probe_value",
    "probe_total",
    "node_cpu_seconds_total",
    "node_load1",
    "node_memory_MemAvailable_bytes",
    "node_disk_io_time_seconds_total",
    "node_network_receive_bytes_total",
    "node_context_switches_total",
    "node_intr_total",
    "node_filesystem_avail_bytes",
    "node_time_seconds",
    "node_vmstat_pgfault",
    "go_goroutines",
    "go_memstats_alloc_bytes",
    "go_gc_duration_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "prometheus_tsdb_head_samples_appended_total",
    "prometheus_http_requests_total",
    "prometheus_http_request_duration_seconds_bucket",
    "prometheus_engine_query_duration_seconds",
    "{__name__=~\"prometheus_tsdb_.*_total\"}",
    "{__name__=~\"node_network_.*\",device=\"lo\"}",
    "node_cpu_seconds_total{mode!=\"idle\",cpu=\"0\"}",
    "{job=\"probe\"}",
    "prometheus_remote_storage_samples_total",
    "{__name__=~\"net_conntrack_dialer_.*\",job!~\"probe|node\"}",
];

/// Samples by labels.
pub type Points = BTreeMap<Metric, Vec<(i64, u64)>>;

/// Samples by labels, without the labels that Dolmen's side adds, and without what Dolmen scraped of itself.
pub fn points(series: Vec<Series>, after: i64) -> Points {
    let strip = |mut m: Metric| {
        m.remove("site");
        m.remove("prometheus_replica");
        m
    };
    let mut out = Points::new();
    for s in series.into_iter().filter(|s| s.metric.get("job").is_none_or(|job| job != "dolmen")) {
        // 2.42 includes the left end of a window, 3.14 does not.
        let kept: Vec<_> = s.points.into_iter().filter(|p| p.0 > after).collect();
        if !kept.is_empty() {
            out.entry(strip(s.metric)).or_default().extend(kept);
        }
    }
    out
}

/// The selector with one more matcher.
pub fn pinned(selector: &str, matcher: &str) -> String {
    match selector.split_once('{') {
        Some((name, rest)) => format!("{name}{{{matcher},{rest}"),
        None => format!("{selector}{{{matcher}}}"),
    }
}

/// Compares all selectors over the ten minutes before `t`, those of a site alone where one is named.
pub fn compare(
    dolmen: &Client,
    pair: &[Client; 2],
    site: Option<&str>,
    t: i64,
    figures: &mut Figures,
) -> Result<()> {
    let of_site = |s: &str| site.map_or_else(|| s.to_owned(), |site| pinned(s, &format!("site={site:?}")));
    for selector in SELECTORS {
        let ask = |c: &Client, s: &str, dedup: &str| -> Result<Points> {
            let series = c.instant(&format!("{s}[10m]"), t, &[("dedup", dedup)]).context(s.to_owned())?;
            Ok(points(series, t - WINDOW_MS))
        };
        let (want1, want2) = (ask(&pair[0], selector, "")?, ask(&pair[1], selector, "")?);
        let replica = pinned(&of_site(selector), "prometheus_replica=\"1\"");
        let got1 = ask(dolmen, &replica, "false")?;
        figures.count("replica_series", want1.len() as u64);
        figures.count("replica_samples", want1.values().map(|p| p.len() as u64).sum());
        figures.check(!want1.is_empty(), || format!("{selector}: nothing to compare"));
        figures.check(got1 == want1, || format!("{replica} at {t}: {}", difference(&want1, &got1)));
        let got = ask(dolmen, &of_site(selector), "true")?;
        figures.count("deduplicated_series", got.len() as u64);
        let keys: BTreeSet<_> = want1.keys().chain(want2.keys()).collect();
        figures.check(keys.iter().copied().eq(got.keys()), || {
            format!("{selector}: {} deduplicated series, the pair has {}", got.len(), keys.len())
        });
        for (metric, points) in &got {
            let empty = Vec::new();
            let one = want1.get(metric).unwrap_or(&empty);
            let two = want2.get(metric).unwrap_or(&empty);
            judge(metric, points, one, two, figures);
        }
    }
    for dedup in ["true", "false"] {
        obeys(dolmen, &of_site("{__name__=~\"probe_.*\"}"), t, dedup, figures)?;
    }
    Ok(())
}

/// Deduplicated points against the two replicas they come from.
fn judge(
    metric: &Metric,
    points: &[(i64, u64)],
    one: &[(i64, u64)],
    two: &[(i64, u64)],
    figures: &mut Figures,
) {
    let known: BTreeSet<_> = one.iter().chain(two).collect();
    let times: BTreeSet<i64> = known.iter().map(|p| p.0).collect();
    figures.count("deduplicated_samples", points.len() as u64);
    for p in points {
        figures.check(known.contains(p), || format!("{metric:?}: {p:?} is no replica's"));
    }
    let mut gaps = 0;
    for pair in points.windows(2) {
        let (from, to) = (pair[0].0, pair[1].0);
        if to - from > 2 * INTERVAL_MS {
            gaps += 1;
            // Both had it where neither has a sample that is more than an interval from its ends.
            let mut inside = times.range(from + INTERVAL_MS + 1..to - INTERVAL_MS);
            figures.check(inside.next().is_none(), || {
                format!("{metric:?}: gap {from} to {to} that not both replicas had")
            });
        }
        let falls = |a: u64, b: u64| f64::from_bits(b) < f64::from_bits(a);
        let counter = metric.get("__name__").is_some_and(|n| n.ends_with("_total") || n.ends_with("_count"));
        if counter && falls(pair[0].1, pair[1].1) {
            let saw = |r: &[(i64, u64)]| {
                r.windows(2).any(|w| w[1].0 >= from && w[0].0 <= to && falls(w[0].1, w[1].1))
            };
            // A replica that came back after the other's reset saw it as a whole gap.
            figures.check(saw(one) || saw(two), || format!("{metric:?}: reset at {to} that no replica saw"));
        }
    }
    figures.count("gaps_that_both_had", gaps);
}

/// Every point of the exporter with explicit timestamps obeys its formula.
fn obeys(dolmen: &Client, selector: &str, t: i64, dedup: &str, figures: &mut Figures) -> Result<()> {
    for s in dolmen.instant(&format!("{selector}[10m]"), t, &[("dedup", dedup)])? {
        let i: Option<i64> = s.metric.get("i").map(|i| i.parse()).transpose()?;
        for (at, bits) in &s.points {
            let want = i.map_or_else(|| exporter::counter(*at), |i| exporter::value(i, *at));
            figures.check(*bits == want.to_bits(), || format!("{:?} at {at}: not f(t)", s.metric));
        }
        figures.count("points_that_obey_f", s.points.len() as u64);
    }
    Ok(())
}

/// Where two sets of samples differ.
pub fn difference(want: &Points, got: &Points) -> String {
    for (metric, points) in want {
        match got.get(metric) {
            None => {
                return format!("{metric:?} missing ({} series expected, {} came)", want.len(), got.len());
            }
            Some(found) if found != points => {
                let missing = points.iter().find(|p| !found.contains(p));
                let extra = found.iter().find(|p| !points.contains(p));
                return format!(
                    "{metric:?}: {} samples expected, {} came; missing {missing:?}, extra {extra:?}",
                    points.len(),
                    found.len()
                );
            }
            Some(_) => {}
        }
    }
    let extra = got.keys().find(|k| !want.contains_key(*k));
    format!("{} series expected, {} came; not expected {extra:?}", want.len(), got.len())
}
