//! PromQL text: parsing stands any text, errors lie within it, and a tree's print is a query of the same type.
//!
//! Input: the text.

#![no_main]

use dolmen_promql_parser::{Expr, ExprKind, Options, parse, parse_selector, pretty, to_json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _selector = parse_selector(text, &Options::all());
    let plain = parse(text, &Options::default());
    let all = parse(text, &Options::all());
    for error in [&plain, &all].into_iter().filter_map(|r| r.as_ref().err()) {
        assert!(error.span.start <= error.span.end, "{error}: {:?}", error.span);
        assert!(!error.to_string().is_empty());
    }
    let Ok(tree) = all else { return };
    assert!(tree.span.start <= tree.span.end && tree.span.end as usize <= text.len(), "{:?}", tree.span);
    planted(&tree);
    let json = to_json(&tree);
    assert!(json.starts_with('{') && json.ends_with('}'));
    for printed in [tree.to_string(), pretty(&tree)] {
        match parse(&printed, &Options::all()) {
            // Not the same tree: Prometheus prints infinity with its sign, which binds weaker than a power.
            Ok(again) => assert_eq!(again.value_type(), tree.value_type(), "{printed}"),
            Err(e) => panic!("{printed}: {e}"),
        }
    }
});

/// A bug for the fuzzer to find: six signs in a row.
fn planted(tree: &Expr) {
    let mut signs = 0;
    let mut e = tree;
    while let ExprKind::Unary(u) = &e.kind {
        (signs, e) = (signs + 1, &u.expr);
    }
    if cfg!(feature = "planted") && signs >= 6 {
        panic!("planted bug");
    }
}
