//! One process, real requests: what is written is answered, before and after cuts, restarts and compaction.

use std::path::Path;
use std::time::Duration;

use dolmen_proto::prometheus::{Label, Sample, TimeSeries, WriteRequest};
use dolmen_tests::dolmen::{self, Dolmen};
use dolmen_tests::exporter::now;
use dolmen_tests::http::Client;
use dolmen_tests::load::{self, Shape};
use dolmen_tests::place;
use dolmen_tests::process::wait_until;
use serde_json::json;

fn serve(dir: &Path, more: &[&str]) -> Dolmen {
    let data = dir.join("data").display().to_string();
    let args =
        ["serve", "--data-dir", &data, "--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"];
    let quick =
        ["--tsdb.min-block-duration", "2m", "--tsdb.max-block-duration", "2m", "--sync-block-duration", "1s"];
    Dolmen::start("serve", dir, &[&args[..], &quick, more].concat()).expect("serve starts")
}

/// Labels and samples of one series.
type Written<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)]);

fn write(client: &Client, series: &[Written]) -> (u16, String) {
    let timeseries = series
        .iter()
        .map(|(labels, samples)| TimeSeries {
            labels: labels.iter().map(|(n, v)| Label { name: (*n).into(), value: (*v).into() }).collect(),
            samples: samples
                .iter()
                .map(|(timestamp, value)| Sample { value: *value, timestamp: *timestamp })
                .collect(),
            ..TimeSeries::default()
        })
        .collect();
    let body = load::compress(&WriteRequest { timeseries, ..WriteRequest::default() });
    client.post("/api/v1/write", &load::HEADERS, body).expect("an answer")
}

#[test]
fn what_is_written_is_answered_before_and_after_cut_restart_and_compaction() {
    let dir = place::scratch("write").unwrap();
    let mut dolmen = serve(dir.path(), &["--self-scrape-interval", "0s"]);
    let client = dolmen.client().unwrap();
    // Twenty minutes of data time, two hours ago: an empty head takes it.
    let shape = Shape { start: now() - 7_200_000, step: 1000, series: 20, depth: 100 };
    for b in 0..12 {
        let (status, text) = client.post("/api/v1/write", &load::HEADERS, shape.request(0, b)).unwrap();
        assert_eq!(status, 204, "{text}");
    }
    let check = |client: &Client| {
        let found = client.instant("load_0[1200s]", shape.time(1199), &[("dedup", "false")]).unwrap();
        assert_eq!(found.len(), 20);
        for series in found {
            let i = series.metric["i"].parse().unwrap();
            let want: Vec<_> = (0..1200).map(|k| (shape.time(k), Shape::value(0, i, k).to_bits())).collect();
            assert_eq!(series.points, want, "series {i}");
            assert_eq!(series.metric.len(), 3, "{:?}", series.metric);
        }
    };
    check(&client);
    assert_eq!(client.post("/-/flush", &[], vec![]).unwrap().0, 204);
    check(&client);
    // The last batch once more: all of it is stored already, in a block by now.
    assert_eq!(client.post("/api/v1/write", &load::HEADERS, shape.request(0, 11)).unwrap().0, 204);
    dolmen.process.kill9().unwrap();
    let dolmen = serve(dir.path(), &["--self-scrape-interval", "0s"]);
    let client = dolmen.client().unwrap();
    check(&client);

    let bucket = dir.path().join("data/bucket");
    let config = format!("{{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display());
    let verify = dolmen::command(&["tools", "bucket", "verify", "--objstore.config", &config])
        .unwrap()
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&verify.stdout).into_owned();
    assert!(verify.status.success(), "{text}");
    assert!(text.trim_end().ends_with("24000 samples, 0 problems"), "{text}");
    let list = place::run(
        &mut dolmen::command(&["tools", "bucket", "ls", "-o", "json", "--objstore.config", &config]).unwrap(),
    );
    let first: serde_json::Value = serde_json::from_str(list.unwrap().lines().next().unwrap()).unwrap();
    assert_eq!(first["labels"], json!({"dolmen": "local"}));
    for key in ["ulid", "mint", "maxt", "samples", "series", "level", "resolution", "source", "bytes"] {
        assert!(!first[key].is_null(), "{key}: {first}");
    }
}

#[test]
fn the_first_query_has_data_and_the_page_greets() {
    let dir = place::scratch("first").unwrap();
    let dolmen = serve(dir.path(), &["--self-scrape-interval", "1s"]);
    let client = dolmen.client().unwrap();
    wait_until("up", Duration::from_secs(20), || {
        let found = client.instant("up", now(), &[])?;
        Ok(found.len() == 1 && found[0].metric["job"] == "dolmen" && found[0].metric.len() == 3)
    })
    .unwrap();
    let (status, page) = client.get("/").unwrap();
    assert!(status == 200 && page.contains("Dolmen") && page.contains("remote_write"));
    assert_eq!(client.get("/grafana/overview.json").unwrap().0, 200);
    assert_eq!(client.get("/-/healthy").unwrap().0, 200);
    assert_eq!(client.get("/-/ready").unwrap().0, 200);
    let metrics = client.get("/metrics").unwrap().1;
    for name in [
        "dolmen_head_series",
        "dolmen_remote_samples_total",
        "dolmen_wal_sync_seconds",
        "dolmen_blocks_uploaded_total",
        "dolmen_bucket_requests_total",
        "dolmen_query_seconds",
        "dolmen_compact_groups",
    ] {
        assert!(metrics.contains(name), "{name} in /metrics");
    }
}

#[test]
fn replicas_are_deduplicated_and_labels_of_ours_do_not_show() {
    let dir = place::scratch("replicas").unwrap();
    let dolmen = serve(dir.path(), &["--self-scrape-interval", "0s", "--label", "site=\"dc-a\""]);
    let client = dolmen.client().unwrap();
    let t = now() - 60_000;
    let one: &[(&str, &str)] =
        &[("__name__", "up"), ("job", "x"), ("prometheus_replica", "1"), ("site", "dc-a")];
    let two: &[(&str, &str)] = &[("__name__", "up"), ("job", "x"), ("prometheus_replica", "2")];
    let (status, text) = write(&client, &[(one, &[(t, 1.0)]), (two, &[(t + 300, 1.0)])]);
    assert_eq!(status, 204, "{text}");
    let names = |dedup: &str| -> Vec<_> {
        let found = client.instant("up", t + 1000, &[("dedup", dedup)]).unwrap();
        found.into_iter().map(|s| serde_json::to_value(s.metric).unwrap()).collect()
    };
    for _ in 0..2 {
        assert_eq!(names("true"), [json!({"__name__": "up", "job": "x", "site": "dc-a"})]);
        assert_eq!(
            names("false"),
            ["1", "2"]
                .map(|r| json!({"__name__": "up", "job": "x", "site": "dc-a", "prometheus_replica": r}))
        );
        assert_eq!(client.post("/-/flush", &[], vec![]).unwrap().0, 204);
    }
}

#[test]
fn what_is_refused_is_told_and_the_rest_is_stored() {
    let dir = place::scratch("refused").unwrap();
    let dolmen = serve(dir.path(), &["--self-scrape-interval", "0s"]);
    let client = dolmen.client().unwrap();
    let t = now() - 60_000;
    let a: &[(&str, &str)] = &[("__name__", "a"), ("job", "x")];
    assert_eq!(write(&client, &[(a, &[(t, 1.0)])]).0, 204);
    // Again the same: stored already. Older: out of order. No name: a bad label. An hour ahead: the future.
    assert_eq!(write(&client, &[(a, &[(t, 1.0)])]).0, 204);
    let (status, text) = write(
        &client,
        &[
            (a, &[(t - 1000, 5.0), (t + 1000, 2.0)]),
            (&[("job", "nameless")], &[(t, 1.0)]),
            (&[("__name__", "b")], &[(t + 3_600_000, 1.0)]),
        ],
    );
    assert_eq!(status, 400);
    assert!(text.contains("stored 1 of 4 samples"), "{text}");
    for cause in ["out_of_order=1", "bad_label=1", "future=1"] {
        assert!(text.contains(cause), "{cause}: {text}");
    }
    let found = client.instant("a[1m]", t + 1000, &[]).unwrap();
    assert_eq!(found[0].points, [(t, 1f64.to_bits()), (t + 1000, 2f64.to_bits())]);
    let post =
        |headers: &[(&str, &str)], body: Vec<u8>| client.post("/api/v1/write", headers, body).unwrap().0;
    let tenant = [&load::HEADERS[..], &[("THANOS-TENANT", "other")]].concat();
    assert_eq!(post(&tenant, vec![0]), 400);
    assert_eq!(post(&[("Content-Type", "text/plain")], vec![0]), 415);
    assert_eq!(post(&load::HEADERS, b"no snappy".to_vec()), 400);
    // Five bytes that claim to be four gigabytes.
    assert_eq!(post(&load::HEADERS, vec![0xff, 0xff, 0xff, 0xff, 0x0f]), 413);
}
