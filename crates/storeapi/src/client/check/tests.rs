//! What is refused, and how it is told.

use dolmen_model::{Labels, MatchOp, TimeRange};
use dolmen_proto::thanos::{Label, Series};
use prost::Message;

use super::super::frame::Piece;
use super::*;

type Set<'a> = &'a [(&'a str, &'a str)];

fn text(pairs: &[(&str, &str)]) -> LabelText {
    let label = |(name, value): &(&str, &str)| Label { name: (*name).into(), value: (*value).into() };
    let series = Series { labels: pairs.iter().map(label).collect(), ..Series::default() }.encode_to_vec();
    let mut piece = Piece::default();
    piece.read(&series.clone().into(), &series, true).unwrap();
    piece.labels
}

fn facts(parts: bool, sets: &[Set]) -> StoreFacts {
    StoreFacts {
        component: "store".into(),
        label_sets: sets.iter().map(|s| Labels::from_pairs(s.iter().copied())).collect(),
        range: Some(TimeRange::ALL),
        tsdbs: Vec::new(),
        without: parts,
        sharding: parts,
        parts,
        ..StoreFacts::default()
    }
}

fn check(select: &Select, facts: &StoreFacts, sets: &[Set]) -> Result<Vec<Place>, String> {
    let mut check = Check::new(select, facts, &"site".into());
    sets.iter().map(|s| check.series(&text(s)).map_err(|e| e.to_string())).collect()
}

#[test]
fn order_and_form() {
    let all = Select::new(TimeRange::ALL, []);
    let any = facts(false, &[]);
    let good: &[Set] =
        &[&[("a", "1")], &[("a", "1")], &[("a", "1"), ("b", "1")], &[("a", "2")], &[("b", "1")]];
    let new = [Place::New, Place::Same, Place::New, Place::New, Place::New];
    assert_eq!(check(&all, &any, good).unwrap(), new);
    let bad: [(&[Set], &str); 6] = [
        (&[&[("b", "1")], &[("a", "1")]], r#"series out of order: {a="1"} after {b="1"}"#),
        (&[&[("a", "1"), ("b", "1")], &[("a", "1")]], r#"series out of order: {a="1"} after {a="1", b="1"}"#),
        (&[&[("b", "1"), ("a", "1")]], r#"series with labels out of order: {a="1", b="1"}"#),
        (&[&[("a", "1"), ("a", "1")]], r#"series with a label twice: {a="1"}"#),
        (&[&[("a", "")]], "series with a label without a value: {}"),
        (&[&[("", "1")]], r#"series with a label without a name: {""="1"}"#),
    ];
    for (sets, why) in bad {
        assert_eq!(check(&all, &any, sets).unwrap_err(), why);
    }
    let long = "x".repeat(1000);
    let e = check(&all, &any, &[&[("b", &long)], &[("a", &long)]]).unwrap_err();
    assert!(e.len() < 250, "{e}");
}

#[test]
fn what_does_not_belong() {
    let select = |without: &[&str]| Select {
        without: without.iter().map(|n| SmolStr::from(*n)).collect(),
        ..Select::new(
            TimeRange::ALL,
            vec![Matcher::eq("a", "1"), Matcher::new(MatchOp::Ne, "replica", "").unwrap()],
        )
    };
    let thanos = facts(false, &[&[("site", "x"), ("replica", "0")], &[("site", "x"), ("replica", "1")]]);
    let ours = facts(true, &[&[("site", "x")]]);
    let mixed = facts(false, &[&[("site", "x")], &[("site", "y")]]);
    let with = [("a", "1"), ("replica", "0"), ("site", "x")];
    let bare = [("a", "1"), ("site", "x")];
    let foreign = [("a", "1"), ("replica", "0"), ("site", "y")];
    assert!(check(&select(&[]), &thanos, &[&with]).is_ok());
    assert_eq!(
        check(&select(&[]), &thanos, &[&bare]).unwrap_err(),
        r#"series that was not asked for: {a="1", site="x"} for {a="1", replica!=""}"#
    );
    assert_eq!(
        check(&select(&[]), &thanos, &[&foreign]).unwrap_err(),
        r#"foreign labels: {a="1", replica="0", site="y"}, the store's site is "x""#
    );
    assert!(check(&select(&[]), &mixed, &[&foreign]).is_ok());
    // Where the store leaves labels out, conditions on them cannot be seen to hold.
    assert!(check(&select(&["replica"]), &ours, &[&bare]).is_ok());
    assert_eq!(
        check(&select(&["replica"]), &ours, &[&with]).unwrap_err(),
        r#"series with replica, asked without it: {a="1", replica="0", site="x"}"#
    );
    assert!(check(&select(&["replica"]), &thanos, &[&with]).is_ok());
    assert!(check(&select(&["site"]), &ours, &[&[("a", "1"), ("replica", "1")]]).is_ok());
}
