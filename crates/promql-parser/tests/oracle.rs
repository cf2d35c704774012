//! What Prometheus 3.14 said of 3,991 texts: whether they are queries, how they print, what is wrong with them.

use std::io::{BufRead, BufReader};
use std::path::Path;

use dolmen_promql_parser::{Options, parse, pretty, to_json};
use flate2::read::GzDecoder;

#[test]
fn recorded_texts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/oracle/parse.jsonl.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        println!("skipped: no {}", path.display());
        return;
    };
    let (mut seen, mut wrong) = (0, Vec::new());
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let text = line["expr"].as_str().unwrap();
        let want = match line["error"].as_str() {
            Some(e) => Err(e.strip_prefix("invalid parameter \"query\": ").unwrap_or(e).to_owned()),
            None => Ok(line["formatted"].as_str().unwrap().to_owned()),
        };
        let tree = parse(text, &Options::all());
        let got = tree.as_ref().map(pretty).map_err(ToString::to_string);
        seen += 1;
        if want != got {
            wrong.push(format!("{text:?}\n  expected {want:?}\n  got      {got:?}"));
        } else if let Ok(tree) = tree {
            let got: serde_json::Value = serde_json::from_str(&to_json(&tree)).unwrap();
            if got != line["ast"] {
                wrong.push(format!("{text:?}\n  expected {}\n  got      {got}", line["ast"]));
            }
        }
    }
    println!("{} of {seen} as recorded", seen - wrong.len());
    assert!(wrong.is_empty(), "{} of {seen} differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen > 3900);
}
