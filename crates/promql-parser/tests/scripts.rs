//! Every expression of Prometheus' test scripts is a query, and printing it loses nothing.

use std::path::Path;

use dolmen_promql_parser::{Options, parse, pretty, to_json};

/// The expression of an `eval` line.
fn expression(line: &str) -> Option<&str> {
    let rest = line.trim().strip_prefix("eval")?;
    let rest = rest.trim_start_matches(|c: char| c == '_' || c.is_ascii_alphabetic()).trim_start();
    // Times have no spaces in them but in sums, which stand in no script.
    let words = match rest.split_whitespace().next()? {
        "instant" if rest.split_whitespace().nth(1) == Some("at") => 3,
        "instant" => 1,
        "range" => 7,
        _ => return None,
    };
    let mut rest = rest;
    for _ in 0..words {
        rest = rest.split_once(char::is_whitespace)?.1.trim_start();
    }
    Some(rest)
}

#[test]
fn all_expressions() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/promqltest");
    let Ok(files) = std::fs::read_dir(&dir) else {
        println!("skipped: no {}", dir.display());
        return;
    };
    let mut seen = 0;
    for file in files {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|e| e != "test") {
            continue;
        }
        let script = std::fs::read_to_string(&path).unwrap();
        for text in script.lines().filter_map(expression) {
            let tree = parse(text, &Options::all()).unwrap_or_else(|e| panic!("{text}: {e}"));
            let printed = tree.to_string();
            for again in [&printed, &pretty(&tree)] {
                let tree2 = parse(again, &Options::all()).unwrap_or_else(|e| panic!("{again}: {e}"));
                assert_eq!(tree2.to_string(), printed, "{text}");
                // Matchers are printed sorted, and a plus before a duration is not printed.
                if !text.contains('{') && !text.contains("offset +") {
                    assert_eq!(to_json(&tree2), to_json(&tree), "{text}");
                }
            }
            seen += 1;
        }
    }
    println!("{seen} expressions");
    assert!(seen > 1700);
}
