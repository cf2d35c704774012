//! Metrics that the page, the dashboard, the alerts and the runbook name are metrics that there are.

use std::collections::BTreeSet;
use std::time::Duration;

use dolmen_tests::dolmen::Dolmen;
use dolmen_tests::place;

const FILES: [(&str, &str); 4] = [
    ("ui/index.html", include_str!("../../ui/index.html")),
    ("ui/overview.json", include_str!("../../ui/overview.json")),
    ("docs/operating/alerts.yml", include_str!("../../docs/operating/alerts.yml")),
    ("docs/operating/README.md", include_str!("../../docs/operating/README.md")),
];

/// Words that begin with `dolmen_`.
fn names(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !word(c)).filter(|w| w.starts_with("dolmen_")).collect()
}

#[test]
fn what_is_named_is_there() {
    let dir = place::scratch("names").unwrap();
    let data = dir.path().join("data").display().to_string();
    // With another store, whose figures are there too.
    let args = [
        ["serve", "--data-dir", &data].as_slice(),
        &["--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"],
        &["--label", "site=\"a\"", "--endpoint", "127.0.0.1:1"],
    ]
    .concat();
    let mut dolmen = Dolmen::start("serve", dir.path(), &args).unwrap();
    let (_, metrics) = dolmen.client().unwrap().get("/metrics").unwrap();
    let there = names(&metrics);
    for (file, text) in FILES {
        let named = names(text);
        assert!(!named.is_empty(), "{file} names no metric");
        for name in named {
            // A family without a sample yet is told by its name alone, which lacks what its samples' names end in.
            let family = ["_total", "_bucket", "_count", "_sum", "_info"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            let known = there.contains(name)
                || family.is_some_and(|f| there.contains(f))
                || there.contains(format!("{name}_total").as_str());
            assert!(known, "{file}: {name} is no metric of serve");
        }
    }
    assert!(dolmen.process.stop(Duration::from_secs(30)).unwrap().success());
}
