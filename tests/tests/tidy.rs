//! Keeps the architecture true: imports follow the table in ARCHITECTURE.md, licences are allowed ones,
//! banned crates stay out, every source file says what it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use dolmen_tests::place;
use serde_json::Value;

/// Licences that may be among the alternatives of a dependency.
const LICENCES: [&str; 14] = [
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
    "BSL-1.0",
    "CC0-1.0",
    "Unlicense",
    "0BSD",
    "MIT-0",
    "OpenSSL",
];

/// Crates that must not be built in, with the reason.
const BANNED: [(&str, &str); 5] = [
    ("bincode", "unmaintained"),
    ("serde_yaml", "archived"),
    ("serde_yml", "unsound"),
    ("openssl-sys", "one TLS provider only: rustls with aws-lc-rs"),
    ("ring", "one TLS provider only: rustls with aws-lc-rs"),
];

/// Of this platform alone: what others need is not downloaded here.
fn metadata() -> Value {
    let rustc = place::run(Command::new("rustc").arg("-vV")).expect("rustc runs");
    let host = rustc.lines().find_map(|l| l.strip_prefix("host: ")).expect("rustc names its host");
    let mut command = Command::new("cargo");
    command.args(["metadata", "--format-version=1", "--locked", "--filter-platform", host]);
    command.current_dir(place::root());
    serde_json::from_str(&place::run(&mut command).expect("cargo metadata runs")).expect("it prints JSON")
}

/// The name of a crate of ours as the table has it.
fn ours(package: &Value) -> Option<&str> {
    let manifest = package["manifest_path"].as_str()?;
    let root = place::root();
    Path::new(manifest).starts_with(&root).then_some(())?;
    let name = package["name"].as_str()?;
    Some(if name == "dolmen" { "server" } else { name.strip_prefix("dolmen-").unwrap_or(name) })
}

/// Crate -> crates that it may import, from the table.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text =
        std::fs::read_to_string(place::root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let rows: Vec<Vec<String>> = text
        .lines()
        .skip_while(|l| !l.starts_with("| layer |"))
        .skip(2)
        .take_while(|l| l.starts_with('|'))
        .map(|l| l.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect())
        .collect();
    let layer = |n: &str| -> BTreeSet<String> {
        let row = rows.iter().find(|r| r[0].starts_with(n)).expect("the layer has a row");
        row[1].split(' ').map(str::to_owned).collect()
    };
    let mut allowed = BTreeMap::new();
    for row in &rows {
        let (layers, exceptions) = match row[2].split_once("->") {
            Some(_) => row[2].split(';').map(str::trim).partition::<Vec<_>, _>(|p| !p.contains("->")),
            None => (vec![row[2].as_str()], vec![]),
        };
        let below: BTreeSet<String> =
            layers.iter().flat_map(|l| l.split(' ')).filter(|l| !l.is_empty()).flat_map(layer).collect();
        for name in row[1].split(' ') {
            let mut set = below.clone();
            for (from, to) in exceptions.iter().filter_map(|e| e.split_once("->")) {
                if from.split_whitespace().any(|f| f == name) {
                    set.extend(to.split_whitespace().map(str::to_owned));
                }
            }
            if !["remote", "storeapi", "tests"].contains(&name) {
                set.remove("proto");
            }
            allowed.insert(name.to_owned(), set);
        }
    }
    allowed
}

#[test]
fn imports_follow_the_table() {
    let (metadata, allowed) = (metadata(), allowed());
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let Some(name) = ours(package) else { continue };
        let Some(may) = allowed.get(name) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            // What only tests import may come from anywhere.
            if dependency["kind"] == "dev" {
                continue;
            }
            let to = dependency["name"].as_str().unwrap_or("");
            if let Some(to) = to.strip_prefix("dolmen-")
                && !may.contains(to)
            {
                wrong.push(format!("{name} imports {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the table in ARCHITECTURE.md: {wrong:#?}");
}

#[test]
fn bans() {
    // Not the metadata: they hold crates that some feature, which nobody switches on, would bring.
    let mut tree = Command::new("cargo");
    tree.args(["tree", "--workspace", "--locked", "--prefix=none", "--format={p}"])
        .current_dir(place::root());
    let tree = place::run(&mut tree).expect("cargo tree runs");
    let built: BTreeSet<&str> = tree.lines().filter_map(|l| l.split(' ').next()).collect();
    assert!(built.contains("tokio"), "{built:?}");
    let wrong: Vec<_> = BANNED.iter().filter(|(name, _)| built.contains(name)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn licences() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().unwrap_or("");
        let licence = package["license"].as_str().unwrap_or("");
        // `A OR B`: one of them suffices; `A AND B`: each must be allowed; `A WITH exception` counts as A.
        let good = licence.replace('/', " OR ").split(" OR ").any(|choice| {
            choice
                .split(" AND ")
                .map(|l| l.trim_matches(|c| c == '(' || c == ')' || c == ' '))
                .all(|l| LICENCES.contains(&l.split(" WITH ").next().unwrap_or("")))
        });
        if !good {
            wrong.push(format!("{name}: licence {licence:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether a package reaches another through normal dependencies.
fn reaches(metadata: &Value, from: &str, to: &str) -> bool {
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let by_id: BTreeMap<&str, &Value> = nodes.iter().filter_map(|n| Some((n["id"].as_str()?, n))).collect();
    let name_of = |id: &str| {
        let packages = metadata["packages"].as_array().expect("packages");
        packages.iter().find(|p| p["id"] == id).and_then(|p| p["name"].as_str()).unwrap_or("").to_owned()
    };
    let start = by_id.keys().find(|id| name_of(id) == from).expect("the crate is in the graph");
    let (mut open, mut seen) = (vec![*start], BTreeSet::from([*start]));
    while let Some(id) = open.pop() {
        if name_of(id) == to {
            return true;
        }
        for dependency in by_id[id]["deps"].as_array().expect("deps") {
            let kinds = dependency["dep_kinds"].as_array().expect("dep_kinds");
            let normal = kinds.iter().any(|k| k["kind"].is_null());
            if let Some(next) = dependency["pkg"].as_str()
                && normal
                && seen.insert(next)
            {
                open.push(next);
            }
        }
    }
    false
}

#[test]
fn formats_know_neither_tokio_nor_buckets() {
    let metadata = metadata();
    for format in ["dolmen-chunk", "dolmen-index", "dolmen-block", "dolmen-dedup", "dolmen-promql-parser"] {
        for far in ["tokio", "object_store", "hyper"] {
            assert!(!reaches(&metadata, format, far), "{format} reaches {far}");
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let files =
        place::run(Command::new("git").args(["ls-files", "*.rs"]).current_dir(place::root())).expect("git");
    let silent: Vec<&str> = files
        .lines()
        .filter(|f| std::fs::read_to_string(place::root().join(f)).is_ok_and(|t| !t.starts_with("//!")))
        .collect();
    assert!(silent.is_empty(), "files that do not open with //!: {silent:#?}");
}
