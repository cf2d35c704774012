//! Prometheus' own scripts. What still fails stands in `testdata/failing.txt`, which is checked in both
//! directions: a case of the list that passes fails the test too.

use std::path::Path;

use dolmen_promqltest::{ExpectFail, run};

#[test]
fn official_scripts() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = here.join("../../../shared/promqltest");
    if !dir.is_dir() {
        println!("skipped: ../shared/promqltest is not there");
        return;
    }
    let list = std::fs::read_to_string(here.join("testdata/failing.txt")).unwrap();
    let expected = ExpectFail::parse(&list);
    let mut scripts: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    scripts.retain(|p| p.extension().is_some_and(|e| e == "test"));
    scripts.sort();
    let (mut wrong, mut passed, mut known) = (Vec::new(), 0, 0);
    for path in scripts {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let report = run(&name, &std::fs::read_to_string(&path).unwrap());
        println!("{name}: {} passed, {} failed", report.passed(), report.failed());
        let verdict = expected.judge(&report);
        passed += verdict.passed;
        known += verdict.known;
        wrong.extend(verdict.failed.into_iter().map(|f| format!("fails: {f}")));
        wrong.extend(verdict.mended.into_iter().map(|k| format!("passes, take it off the list: {k}")));
    }
    println!("{passed} passed, {known} failed as expected");
    assert!(passed > 1000, "the scripts hold more than {passed} cases");
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}
