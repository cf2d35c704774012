//! What holds of any text: printing and parsing agree, places are in the text, nothing panics or runs away.

use dolmen_promql_parser::{Expr, ExprKind, MAX_DEPTH, Options, Span, parse, parse_selector, pretty};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// Durations as brackets and `offset` take them.
fn duration() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("5m".to_owned()),
        Just("1h30m".to_owned()),
        Just("90".to_owned()),
        Just("0.5".to_owned()),
        Just("step()".to_owned()),
        Just("range()".to_owned()),
    ];
    leaf.prop_recursive(3, 8, 2, |d| {
        prop_oneof![
            (d.clone(), "[-+*/%^]", d.clone()).prop_map(|(a, op, b)| format!("{a}{op} {b}")),
            d.clone().prop_map(|d| format!("({d})")),
            d.clone().prop_map(|d| format!("-{d}")),
            (d.clone(), d).prop_map(|(a, b)| format!("min_of({a}, {b})")),
        ]
    })
}

fn selector() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("foo".to_owned()),
        Just("job:x:rate5m".to_owned()),
        Just("sum".to_owned()),
        Just("offset".to_owned()),
        Just("fill".to_owned()),
    ];
    let matchers = prop_oneof![
        Just(String::new()),
        Just("{}".to_owned()),
        Just("{b!~\"x.*\", a=\"1\\n\\xff\",}".to_owned()),
        Just("{'c.d'=`é\\d`}".to_owned()),
    ];
    let when = prop_oneof![
        Just(String::new()),
        duration().prop_map(|d| format!(" offset ({d})")),
        Just(" offset -5m @ -1.5".to_owned()),
        Just(" @ end() smoothed".to_owned()),
    ];
    let range = prop_oneof![Just(String::new()), duration().prop_map(|d| format!("[{d}]"))];
    (name, matchers, range, when).prop_map(|(n, m, r, w)| format!("{n}{m}{r}{w}"))
}

/// Texts that are queries, most of them.
fn query() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => selector(),
        1 => "-?[0-9]{1,3}(\\.[0-9]{1,3})?(e[0-9]{1,2})?",
        1 => Just("{\"a b\", __name__!=\"x\"}".to_owned()),
        1 => Just("NaN".to_owned()),
        1 => Just("time()".to_owned()),
    ];
    leaf.prop_recursive(5, 32, 3, |q| {
        let ops = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "atan2",
            "== bool",
            "!=",
            "</",
            ">/ ",
            "and",
            "or on (a, \"b c\")",
            "unless ignoring ()",
            "> on () group_left (c)",
            "- ignoring (a) group_right fill(1e-7)",
            "+ fill_left (-1) fill_right (2)",
        ]);
        let calls =
            prop::sample::select(vec!["rate", "abs", "sum", "scalar", "sum by (a) ", "avg without () "]);
        prop_oneof![
            (q.clone(), ops, q.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            (calls, q.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            q.clone().prop_map(|a| format!("({a})")),
            q.clone().prop_map(|a| format!("-{a}")),
            (q.clone(), q.clone()).prop_map(|(a, b)| format!("topk({a}, {b}) by (x)")),
            (q, duration(), prop_oneof![Just(String::new()), duration()])
                .prop_map(|(q, d, s)| format!("{q}[{d}:{s}] @ start() # comment\n")),
        ]
    })
}

fn places_are_right(e: &Expr, within: Span) {
    assert!(within.start <= e.span.start && e.span.start < e.span.end && e.span.end <= within.end);
    let inner: Vec<&Expr> = match &e.kind {
        ExprKind::Subquery(q) => vec![&q.expr],
        ExprKind::Paren(of) => vec![of],
        ExprKind::Unary(u) => vec![&u.expr],
        ExprKind::Binary(b) => {
            assert!(b.lhs.span.end <= b.op_span.start && b.op_span.end <= b.rhs.span.start);
            vec![&b.lhs, &b.rhs]
        }
        ExprKind::Call(c) => c.args.iter().collect(),
        ExprKind::Aggregate(a) => a.param.iter().chain([&a.expr]).collect(),
        _ => Vec::new(),
    };
    inner.into_iter().for_each(|i| places_are_right(i, e.span));
}

fn holds(text: &str) -> bool {
    let all = Span { start: 0, end: text.len() as u32 };
    match parse(text, &Options::all()) {
        Ok(tree) => {
            places_are_right(&tree, all);
            let printed = tree.to_string();
            for again in [&printed, &pretty(&tree)] {
                let tree =
                    parse(again, &Options::all()).unwrap_or_else(|e| panic!("{text:?} as {again:?}: {e}"));
                assert_eq!(tree.to_string(), printed, "{text:?}");
            }
            true
        }
        Err(e) => {
            assert!(e.span.start <= e.span.end && e.span.end <= all.end, "{text:?}: {e:?}");
            false
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn prints_what_it_parses(text in query()) {
        holds(&text);
    }

    #[test]
    fn any_text(text in any::<String>()) {
        holds(&text);
        let _ = parse_selector(&text, &Options::default());
    }

    #[test]
    fn any_words(words in prop::collection::vec(prop::sample::select(vec![
        "sum", "by", "(", ")", "[", "]", "{", "}", "a", "=", "=~", "\"x\"", "'", "`", "\\", "5m", "0x", "1e", ":", ",",
        "offset", "@", "start", "-", "^", "</", "and", "on", "group_left", "fill", "bool", "step()", "min_of", "rate",
        "#", "\n", "é", "\0", "anchored", "info", "!", "NaN", "\u{fffd}", "::", ".5", "1_0",
    ]), 0..14), spaced in any::<bool>()) {
        holds(&words.join(if spaced { " " } else { "" }));
    }
}

#[test]
fn most_generated_texts_are_queries() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = query();
    let good = (0..500).filter(|_| holds(&strategy.new_tree(&mut runner).unwrap().current())).count();
    assert!(good > 100, "{good}");
}

#[test]
fn depth_is_limited() {
    let n = 100_000;
    let deep = [
        "(".repeat(n),
        "-".repeat(n),
        "abs(".repeat(n),
        "sum by (a) (".repeat(n),
        format!("x{}", " + x".repeat(n)),
        format!("x{}", " ^ x".repeat(n)),
        format!("x{}", "[5m:]".repeat(n)),
        format!("x[{}", "(".repeat(n)),
        format!("x[{}", "-".repeat(n)),
        format!("x[1{}", "+1".repeat(n)),
        format!("x[1{}", "^1".repeat(n)),
        format!("x offset {}", "min_of(".repeat(n)),
        format!("x offset {}", "-".repeat(n)),
    ];
    for text in deep {
        let e = parse(&text, &Options::all()).unwrap_err();
        assert!(e.message.contains("nested"), "{}…: {e}", &text[..20]);
    }
    // Just below the limit; printing, and giving it back, take no more stack either.
    let n = MAX_DEPTH as usize - 2;
    assert!(holds(&format!("{}x{}", "(".repeat(n), ")".repeat(n))));
    assert!(holds(&format!("x{}", " + x".repeat(n))));
    assert!(!holds(&format!("x{}", " + x".repeat(n + 2))));
}

#[test]
fn long_texts_are_read_in_linear_time() {
    let text = format!("foo{{a=~\"{}\"}} or {{{}}}", "x|".repeat(5000), "a=\"b\",".repeat(20_000));
    assert!(holds(&text));
}
