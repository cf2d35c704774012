//! With real peers: Debian's Prometheus sends, real Ceph holds the blocks.

use std::time::Duration;

use dolmen_tests::ceph::{self, Ceph};
use dolmen_tests::dolmen::{self, Dolmen};
use dolmen_tests::exporter::{self, Exporter, now};
use dolmen_tests::load::{self, Shape};
use dolmen_tests::place;
use dolmen_tests::process::wait_until;
use dolmen_tests::prometheus::Prometheus;

#[test]
fn a_real_prometheus_sends_and_the_same_points_come_back() {
    if place::skip_without(&["prometheus"]) {
        return;
    }
    let dir = place::scratch("sends").unwrap();
    let data = dir.path().join("data").display().to_string();
    let args =
        ["serve", "--data-dir", &data, "--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"];
    let dolmen = Dolmen::start("serve", dir.path(), &args).unwrap();
    let exporter = Exporter::start().unwrap();
    let config = format!(
        "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  external_labels: {{prometheus_replica: a}}\n\
         remote_write:\n- url: http://{}/api/v1/write\n  queue_config: {{batch_send_deadline: 200ms}}\n\
         scrape_configs:\n- job_name: probe\n  static_configs:\n  - targets: ['127.0.0.1:{}']\n",
        dolmen.address("http").unwrap(),
        exporter.port
    );
    let prometheus = Prometheus::start("prometheus", dir.path(), &config, &[]).unwrap();
    let (theirs, ours) = (prometheus.client(), dolmen.client().unwrap());
    // It finds its targets after five seconds.
    wait_until("thirty scrapes", Duration::from_secs(60), || {
        let found = theirs.instant("count_over_time(up{job=\"probe\"}[1m])", now(), &[])?;
        Ok(found.first().is_some_and(|s| f64::from_bits(s.points[0].1) >= 30.0))
    })
    .unwrap();
    let t = now() - 1000;
    wait_until("the newest sample at Dolmen", Duration::from_secs(20), || {
        Ok(ours
            .instant("timestamp(up{job=\"probe\"})", t + 2000, &[])?
            .first()
            .is_some_and(|s| f64::from_bits(s.points[0].1) * 1000.0 > t as f64))
    })
    .unwrap();
    for query in ["probe_value[4s]", "probe_total[4s]", "up{job=\"probe\"}[4s]"] {
        // 2.42 includes the left end of a window, 3.14 does not.
        let mut want = theirs.instant(query, t, &[]).unwrap();
        want.iter_mut().for_each(|s| s.points.retain(|p| p.0 > t - 4000));
        let got = ours.instant(query, t, &[]).unwrap();
        assert!(!want.is_empty() && want == got, "{query}: {want:?} expected, {got:?} came");
    }
    for s in ours.instant("probe_value[10s]", now(), &[]).unwrap() {
        let i = s.metric["i"].parse().unwrap();
        assert!(s.points.iter().all(|(t, v)| *v == exporter::value(i, *t).to_bits()), "{:?}", s.metric);
    }
}

#[test]
fn receive_gateway_and_compact_share_a_real_ceph() {
    if place::skip_without(&ceph::PROGRAMS) {
        return;
    }
    let dir = place::scratch("ceph").unwrap();
    let ceph = Ceph::start(&dir.path().join("ceph"), "memstore").unwrap();
    let config = ceph.objstore().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (tsdb, gateway_data, compact_data) = (path("tsdb"), path("gateway"), path("compact"));
    let common =
        ["--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0", "--objstore.config", &config];
    let receive = [
        "receive",
        "--tsdb.path",
        &tsdb,
        "--label",
        "site=\"dc-a\"",
        "--remote-write.address",
        "127.0.0.1:0",
    ];
    let blocks = ["--tsdb.min-block-duration", "10m", "--tsdb.max-block-duration", "10m"];
    let receiver = Dolmen::start("receive", dir.path(), &[&receive[..], &common, &blocks].concat()).unwrap();
    let client = receiver.client().unwrap();
    let writer = dolmen_tests::http::Client::new(receiver.address("remote_write").unwrap());
    let shape = Shape { start: now() - 3 * 3_600_000, step: 5000, series: 50, depth: 100 };
    for b in 0..12 {
        let (status, text) = writer.post("/api/v1/receive", &load::HEADERS, shape.request(0, b)).unwrap();
        assert_eq!(status, 204, "{text}");
    }
    assert_eq!(client.post("/-/flush", &[], vec![]).unwrap().0, 204);
    let compact = ["compact", "--data-dir", &compact_data];
    let at_once =
        ["--consistency-delay", "0s", "--delete-delay", "0s", "--compact.block-ranges", "10m,30m,1h"];
    let mut command = dolmen::command(&[&compact[..], &common, &at_once].concat()).unwrap();
    place::run(&mut command).unwrap();
    let args = ["gateway", "--data-dir", &gateway_data, "--sync-block-duration", "1s"];
    let gateway = Dolmen::start("gateway", dir.path(), &[&args[..], &common].concat()).unwrap();
    let answers = gateway.client().unwrap();
    let found = answers.instant("load_0[100m]", shape.time(1199), &[("dedup", "false")]).unwrap();
    assert_eq!(found.len(), 50);
    for s in found {
        let i = s.metric["i"].parse().unwrap();
        let want: Vec<_> = (0..1200).map(|k| (shape.time(k), Shape::value(0, i, k).to_bits())).collect();
        assert!(s.points == want, "series {i}: {} points", s.points.len());
        assert_eq!(s.metric["site"], "dc-a");
    }
    let list = place::run(
        &mut dolmen::command(&["tools", "bucket", "ls", "-o", "json", "--objstore.config", &config]).unwrap(),
    );
    let levels: Vec<i64> = list
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["level"].as_i64().unwrap())
        .collect();
    assert!(levels.iter().any(|l| *l > 1), "{levels:?}");
    let verify = dolmen::command(&["tools", "bucket", "verify", "--objstore.config", &config])
        .unwrap()
        .output()
        .unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}
