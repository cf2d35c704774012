//! The language by examples: what texts mean, how they print, what is refused and with which words.

use dolmen_promql_parser::{Expr, ExprKind, Options, parse, parse_selector, to_json};

fn all(text: &str) -> Expr {
    parse(text, &Options::all()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// With parentheses around every operation.
fn shape(e: &Expr) -> String {
    match &e.kind {
        ExprKind::Binary(b) => format!("({} {} {})", shape(&b.lhs), b.op.name(), shape(&b.rhs)),
        ExprKind::Unary(u) => format!("({}{})", if u.minus { '-' } else { '+' }, shape(&u.expr)),
        ExprKind::Paren(of) => shape(of),
        _ => e.to_string(),
    }
}

#[test]
fn how_operators_bind() {
    for (text, wanted) in [
        ("a + b * c ^ d ^ e", "(a + (b * (c ^ (d ^ e))))"),
        ("a - b - c", "((a - b) - c)"),
        ("-a ^ b", "(-(a ^ b))"),
        ("-a * b", "((-a) * b)"),
        ("a ^ -b * c", "((a ^ (-b)) * c)"),
        ("-1 ^ 2", "(-(1 ^ 2))"),
        ("- -2 + 1", "(2 + 1)"),
        ("a or b and c unless d or e", "((a or ((b and c) unless d)) or e)"),
        ("a </ 1 + 2", "(a </ (1 + 2))"),
        ("a > b == c", "((a > b) == c)"),
        ("a atan2 b % c", "((a atan2 b) % c)"),
        ("a offset -5m ^ 2", "(a offset -5m ^ 2)"),
        ("a offset -(5m) ^ 2", "(a offset -(5m) ^ 2)"),
        ("a offset (5m) ^ 2", "a offset (5m) ^ 2"),
    ] {
        assert_eq!(shape(&all(text)), wanted, "{text}");
    }
}

#[test]
fn how_it_prints() {
    for (text, printed) in [
        ("SUM BY(a, \"b.c\",) (x)", r#"sum by (a, "b.c") (x)"#),
        ("sum(x) by ()", "sum(x)"),
        ("x{b='1', a!~`\\d`, }", r#"x{a!~"\\d",b="1"}"#),
        ("{\"x.y\", \"l m\"=\"\"}", r#"{"l m"="",__name__="x.y"}"#),
        ("rate(x[90s] smoothed offset -1.5 @ 1e3)", "rate(x[1m30s] smoothed @ 1000.000 offset -1s500ms)"),
        ("x anchored @ end() offset 1w", "x @ end() anchored offset 1w"),
        ("x offset 0s", "x"),
        ("max_over_time(x[1d:1h] offset (step() + 1))", "max_over_time(x[1d:1h] offset (step() + 1))"),
        ("0x1f + 010 - 1_000 + Inf", "31 + 8 - 1000 + +Inf"),
        ("-5m", "-5m"),
        ("a == bool on () group_left () b", "a == bool on () group_left () b"),
        ("a + ignoring () b", "a + b"),
        ("a + fill_right(1e21) fill_left(-0.00001) b", "a + fill_left (-1e-05) fill_right (1e+21) b"),
        ("a and fill", "a and fill"),
        ("start + end{} + by + min_of", "start + end + by + min_of"),
        (
            "label_replace(x, \"\\xff\\u00e9\", '\"', `\\`, \"\")",
            r#"label_replace(x, "\xffé", "\"", "\\", "")"#,
        ),
    ] {
        let tree = all(text);
        assert_eq!(tree.to_string(), printed, "{text}");
        assert_eq!(all(printed).to_string(), printed);
    }
}

#[test]
fn what_is_refused() {
    for (text, error) in [
        ("", "unknown position: parse error: no expression found in input"),
        ("# x", "1:1: parse error: no expression found in input"),
        ("a\n+\n*", "3:1: parse error: unexpected <op:*>"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("a{__name__=\"b\"}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\""),
        ("a{b=~\"c(\"}", "1:3: parse error: error parsing regexp: missing closing ): `c(`"),
        (
            "a{b c}",
            "1:5: parse error: unexpected identifier \"c\" in label matching, expected label matching operator",
        ),
        (
            "sum by (a b) (c)",
            "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
        ),
        ("sum(a b)", "1:7: parse error: unexpected identifier \"b\" in aggregation"),
        (
            "topk(a)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        ("topk(a, b)", "1:6: parse error: expected type scalar in aggregation parameter, got instant vector"),
        (
            "count_values(1, b)",
            "1:14: parse error: expected type string in aggregation parameter, got scalar",
        ),
        ("nope(a)", "1:1: parse error: unknown function with name \"nope\""),
        ("START()", "1:1: parse error: unknown function with name \"START\""),
        ("rate(a[5m],)", "1:11: parse error: trailing commas not allowed in function call args"),
        ("rate()", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"),
        ("round(a, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        (
            "label_join(a)",
            "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 1",
        ),
        ("1 == 2", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
        ("a and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("a and on (x) group_left () b", "1:1: parse error: no grouping allowed for \"and\" operation"),
        ("a or fill(1) b", "1:1: parse error: filling in missing series not allowed for set operators"),
        ("a + on (x) 1", "1:1: parse error: vector matching only allowed between instant vectors"),
        (
            "a + on (x) group_left (x) b",
            "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once",
        ),
        (
            "a[5m] + b",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "-a[5m]",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\"",
        ),
        ("1[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"),
        ("(a)[5m]", "1:4: parse error: ranges only allowed for vector selectors"),
        ("a offset 5m[5m]", "1:12: parse error: no offset modifiers allowed before range"),
        ("a @ start()[5m]", "1:12: parse error: no @ modifiers allowed before range"),
        ("a offset 5m offset 5m", "1:1: parse error: offset may not be set multiple times"),
        ("a @ 1 @ end()", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("a @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
        (
            "1 offset 5m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("a[0s]", "1:3: parse error: duration must be greater than 0"),
        ("a[5m / 0]", "1:6: parse error: division by zero"),
        ("a[1m1m]", "1:3: parse error: not a valid duration string: \"1m1m\""),
        ("a[9.5e10]", "1:3: parse error: duration out of range"),
        ("a anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
        ("info(a, b)", "1:9: parse error: expected label selectors only, got vector selector instead"),
        ("\"\\q\"", "1:1: parse error: unknown escape sequence U+0071 'q'"),
        ("a[5m", "1:5: parse error: unclosed left bracket"),
        ("a{", "1:3: parse error: unexpected end of input inside braces"),
    ] {
        let e = parse(text, &Options::all()).map(|t| t.to_string()).expect_err(text).to_string();
        assert_eq!(e, error, "{text}");
    }
}

#[test]
fn what_must_be_switched_on() {
    for (text, error) in [
        ("start()", "function \"start\" is not enabled"),
        (
            "limitk(1, a)",
            "limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        ("a smoothed", "smoothed modifier is experimental and not enabled"),
        ("a + fill (1) b", "binop fill modifiers are experimental and not enabled"),
    ] {
        assert_eq!(parse(text, &Options::default()).unwrap_err().message, error);
        all(text);
    }
    let off = Options { duration_expressions: false, ..Options::all() };
    for text in ["a[5m + 1m]", "a[(5m)]", "a[step()]", "a offset min_of(1, 2)"] {
        assert!(parse(text, &Options::default()).is_ok());
        let e = parse(text, &off).unwrap_err();
        assert_eq!(e.message, "experimental duration expression is not enabled", "{text}");
    }
    assert!(parse("a[-5m] offset -5m", &off).is_err_and(|e| e.message.contains("greater")));
}

#[test]
fn selectors_of_requests() {
    let all = Options::all();
    let texts =
        |t: &str| parse_selector(t, &all).map(|m| m.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(texts("up{a!=\"b\"}").unwrap(), ["a!=\"b\"", "__name__=\"up\""]);
    assert_eq!(texts("{}").unwrap().len(), 0);
    for (text, error) in [
        ("", "unknown position: parse error: unexpected end of input"),
        ("up[5m]", "1:3: parse error: unexpected \"[\""),
        ("up + up", "1:4: parse error: unexpected <op:+>"),
        ("1", "1:1: parse error: unexpected number \"1\""),
    ] {
        assert_eq!(texts(text).unwrap_err().to_string(), error);
    }
}

#[test]
fn trees_as_json() {
    let tree: serde_json::Value =
        serde_json::from_str(&to_json(&all("sum(x{a=\"\\\"\\n\\xff\"}) + 5m"))).unwrap();
    assert_eq!(tree["type"], "binaryExpr");
    assert_eq!(tree["lhs"]["expr"]["matchers"][0]["value"], "\"\n\u{fffd}");
    assert_eq!(tree["rhs"]["val"], "300");
}
