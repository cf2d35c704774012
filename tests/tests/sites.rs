//! Stores in other processes, on the real binary: who is asked, what is missing, and what is remembered.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::time::Duration;

use dolmen_tests::dolmen::Dolmen;
use dolmen_tests::http::Reply;
use dolmen_tests::place;
use dolmen_tests::process::{free_port, wait_until};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// A site that scrapes itself; it is started again on the same port.
fn serve(name: &str, dir: &Path, port: u16, endpoints: &[u16]) -> Dolmen {
    let (data, grpc) = (dir.join(name).display().to_string(), format!("127.0.0.1:{port}"));
    let label = format!("site=\"{name}\"");
    let mut args: Vec<String> =
        ["serve", "--data-dir", &data, "--label", &label, "--self-scrape-interval", "1s"]
            .iter()
            .chain(["--http-address", "127.0.0.1:0", "--grpc-address", &grpc].iter())
            .map(|a| (*a).to_owned())
            .collect();
    args.extend(endpoints.iter().flat_map(|e| ["--endpoint".to_owned(), format!("127.0.0.1:{e}")]));
    start(name, dir, &args)
}

fn query(name: &str, dir: &Path, port: u16, endpoints: &[u16]) -> Dolmen {
    let (data, grpc) = (dir.join(name).display().to_string(), format!("127.0.0.1:{port}"));
    let args = ["query", "--data-dir", &data, "--http-address", "127.0.0.1:0", "--grpc-address", &grpc];
    let mut args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
    args.extend(endpoints.iter().flat_map(|e| ["--endpoint".to_owned(), format!("127.0.0.1:{e}")]));
    start(name, dir, &args)
}

fn start(name: &str, dir: &Path, args: &[String]) -> Dolmen {
    Dolmen::start(name, dir, &args.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
}

fn ask(dolmen: &Dolmen, query: &str, more: &[(&str, &str)]) -> Reply {
    let parameters = [&[("query", query)], more].concat();
    dolmen.client().unwrap().ask("/api/v1/query", &parameters).unwrap()
}

/// The sites that have this, and the stores that the answer lacks with their sites.
fn sees(dolmen: &Dolmen, selector: &str) -> (Vec<String>, Vec<(String, String)>) {
    let reply = ask(dolmen, &format!("count by (site) ({selector})"), &[]);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let result = reply.body["data"]["result"].as_array().unwrap();
    let mut sites: Vec<String> = result.iter().map(|s| text(&s["metric"]["site"])).collect();
    sites.sort();
    let missing = reply.body["completeness"]["missing"].as_array().cloned().unwrap_or_default();
    (sites, missing.iter().map(|m| (text(&m["site"]), text(&m["store"]))).collect())
}

fn wait_for(dolmen: &Dolmen, selector: &str, sites: &[&str], missing: &[(&str, &str)]) {
    let want = (
        sites.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(),
        missing.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>(),
    );
    let mut last = None;
    wait_until("an answer", PATIENCE, || {
        let got = sees(dolmen, selector);
        let same = got == want;
        last = Some(got);
        Ok(same)
    })
    .unwrap_or_else(|e| panic!("{selector}: {last:?}, expected {want:?}: {e:#}"));
}

#[test]
fn a_site_that_dies_is_missed_by_its_name_and_remembered() {
    let dir = place::scratch("sites").unwrap();
    let ports = [free_port().unwrap(), free_port().unwrap()];
    let stores = ports.map(|p| format!("127.0.0.1:{p}"));
    let mut a = serve("dc-a", dir.path(), ports[0], &[ports[1]]);
    let mut b = serve("dc-b", dir.path(), ports[1], &[ports[0]]);
    for site in [&a, &b] {
        wait_for(site, "up", &["dc-a", "dc-b"], &[]);
    }
    b.process.kill9().unwrap();
    wait_for(&a, "up", &["dc-a"], &[("dc-b", &stores[1])]);
    wait_for(&a, "up{site=\"dc-a\"}", &["dc-a"], &[]);
    // Of the time before it was there, nothing is missing.
    wait_for(&a, "up offset 1d", &[], &[]);
    let strict = ask(&a, "up", &[("partial_response", "0")]);
    assert_eq!(
        (strict.status, &strict.body["errorType"]),
        (422, &Value::from("execution")),
        "{}",
        strict.body
    );

    // It is called by its site, and not waited for, also by who never met it alive.
    a.process.kill9().unwrap();
    let mut a = serve("dc-a", dir.path(), ports[0], &[ports[1]]);
    wait_for(&a, "up{site!=\"dc-a\"}", &[], &[("dc-b", &stores[1])]);
    wait_for(&a, "up{site=\"dc-a\"}", &["dc-a"], &[]);
    let listed = a.client().unwrap().ask("/api/v1/stores", &[]).unwrap();
    let all = listed.body["data"]["receive"].as_array().unwrap();
    let dark = all.iter().find(|s| s["name"] == stores[1]).unwrap();
    assert_eq!((&dark["site"], &dark["lastError"]), (&"dc-b".into(), &"connection refused".into()), "{dark}");
    assert!(dark["lagSeconds"].as_f64().is_some_and(|lag| lag > 0.0), "{dark}");

    let mut b = serve("dc-b", dir.path(), ports[1], &[ports[0]]);
    wait_for(&a, "up", &["dc-a", "dc-b"], &[]);
    for site in [&mut a, &mut b] {
        assert!(site.process.stop(PATIENCE).unwrap().success());
    }
}

#[test]
fn queriers_that_ask_each_other_and_themselves_do_not_ask_in_circles() {
    let dir = place::scratch("circles").unwrap();
    let [a, b, one, two] = std::array::from_fn(|_| free_port().unwrap());
    let _a = serve("dc-a", dir.path(), a, &[]);
    let _b = serve("dc-b", dir.path(), b, &[]);
    let one = (query("one", dir.path(), one, &[two, one, a]), one);
    let two = query("two", dir.path(), two, &[one.1, b]);
    wait_for(&one.0, "up", &["dc-a", "dc-b"], &[]);
    wait_for(&two, "up", &["dc-a", "dc-b"], &[]);
    // Who has no time for an answer takes nobody's stores away.
    for ms in ["1ms", "2ms", "5ms"].iter().cycle().take(30) {
        ask(&one.0, "count(count_over_time({__name__=~\".+\"}[1h]))", &[("timeout", ms)]);
        assert_eq!(sees(&one.0, "up"), (vec!["dc-a".to_owned(), "dc-b".to_owned()], vec![]));
    }
    let calls = || {
        let metrics = one.0.client().unwrap().get("/metrics").unwrap().1;
        let of = |l: &&str| l.starts_with("dolmen_store_asked_total");
        metrics.lines().filter(of).filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let before = calls();
    sees(&one.0, "up");
    // The other querier, which does not ask back, and the site.
    assert_eq!(calls() - before, 2.0);
}

#[test]
fn a_store_that_was_never_reached_is_missed_through_a_querier_too() {
    let dir = place::scratch("never").unwrap();
    let [a, inner, outer, nobody] = std::array::from_fn(|_| free_port().unwrap());
    let nobody_at = format!("127.0.0.1:{nobody}");
    let _a = serve("dc-a", dir.path(), a, &[]);
    let _inner = query("inner", dir.path(), inner, &[a, nobody]);
    let outer = query("outer", dir.path(), outer, &[inner]);
    wait_for(&outer, "up", &["dc-a"], &[("", &nobody_at)]);
    wait_for(&outer, "up{site=\"dc-b\"}", &[], &[("", &nobody_at)]);
}
