//! The words of the language, and how error texts name them.

use crate::ast::{AggregateOp, BinaryOp, Span};
use crate::text::{quote, quote_start};

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub(crate) enum Kind {
    Eof,
    Identifier,
    /// An identifier with a colon in it.
    MetricIdentifier,
    Number,
    Duration,
    String,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    LeftParen,
    RightParen,
    Comma,
    Colon,
    /// `=`
    Equal,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotEqualRegex,
    At,
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Bool,
    By,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Without,
    Smoothed,
    Anchored,
    Fill,
    FillLeft,
    FillRight,
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
}

/// A word and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// What a word outside braces is where it is no plain name; letter case does not matter.
pub(crate) fn keyword(word: &str) -> Option<Kind> {
    // The longest keyword has 12 letters.
    let mut lower = [0u8; 12];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"and" => Kind::Op(BinaryOp::And),
        b"or" => Kind::Op(BinaryOp::Or),
        b"unless" => Kind::Op(BinaryOp::Unless),
        b"atan2" => Kind::Op(BinaryOp::Atan2),
        b"sum" => Kind::Aggregate(AggregateOp::Sum),
        b"avg" => Kind::Aggregate(AggregateOp::Avg),
        b"count" => Kind::Aggregate(AggregateOp::Count),
        b"min" => Kind::Aggregate(AggregateOp::Min),
        b"max" => Kind::Aggregate(AggregateOp::Max),
        b"group" => Kind::Aggregate(AggregateOp::Group),
        b"stddev" => Kind::Aggregate(AggregateOp::Stddev),
        b"stdvar" => Kind::Aggregate(AggregateOp::Stdvar),
        b"topk" => Kind::Aggregate(AggregateOp::Topk),
        b"bottomk" => Kind::Aggregate(AggregateOp::Bottomk),
        b"count_values" => Kind::Aggregate(AggregateOp::CountValues),
        b"quantile" => Kind::Aggregate(AggregateOp::Quantile),
        b"limitk" => Kind::Aggregate(AggregateOp::Limitk),
        b"limit_ratio" => Kind::Aggregate(AggregateOp::LimitRatio),
        b"offset" => Kind::Offset,
        b"smoothed" => Kind::Smoothed,
        b"anchored" => Kind::Anchored,
        b"by" => Kind::By,
        b"without" => Kind::Without,
        b"on" => Kind::On,
        b"ignoring" => Kind::Ignoring,
        b"group_left" => Kind::GroupLeft,
        b"group_right" => Kind::GroupRight,
        b"fill" => Kind::Fill,
        b"fill_left" => Kind::FillLeft,
        b"fill_right" => Kind::FillRight,
        b"bool" => Kind::Bool,
        b"start" => Kind::Start,
        b"end" => Kind::End,
        b"step" => Kind::Step,
        b"range" => Kind::Range,
        b"min_of" => Kind::MinOf,
        b"max_of" => Kind::MaxOf,
        b"inf" | b"nan" => Kind::Number,
        _ => return None,
    })
}

impl Kind {
    /// Whether it may stand as a metric's name.
    pub(crate) fn names_metric(self) -> bool {
        match self {
            Kind::Op(op) => matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless),
            Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregate(_) => true,
            Kind::By | Kind::Without | Kind::Offset | Kind::Anchored | Kind::Smoothed => true,
            Kind::Fill | Kind::FillLeft | Kind::FillRight => true,
            Kind::Start | Kind::End | Kind::Step | Kind::Range | Kind::MinOf | Kind::MaxOf => true,
            _ => false,
        }
    }

    /// Whether it may stand unquoted in a list of label names.
    pub(crate) fn names_label(self) -> bool {
        match self {
            Kind::Bool | Kind::On | Kind::Ignoring | Kind::GroupLeft | Kind::GroupRight => true,
            Kind::Op(BinaryOp::Atan2) => true,
            _ => self.names_metric(),
        }
    }

    /// Whether an expression can begin with it.
    pub(crate) fn begins_expr(self) -> bool {
        match self {
            Kind::Number | Kind::Duration | Kind::String | Kind::LeftParen | Kind::LeftBrace => true,
            Kind::Op(BinaryOp::Add | BinaryOp::Sub) => true,
            _ => self.names_metric(),
        }
    }

    /// As error texts name a word of this kind that is written `text`.
    pub(crate) fn describe(self, text: &str) -> String {
        match self {
            Kind::Eof => "end of input".to_owned(),
            Kind::Identifier => format!("identifier {}", quote(text)),
            Kind::MetricIdentifier => format!("metric identifier {}", quote(text)),
            Kind::Number => format!("number {}", quote_start(text)),
            Kind::Duration => format!("duration {}", quote_start(text)),
            Kind::String => format!("string {}", quote_start(text)),
            Kind::Op(_) | Kind::At | Kind::EqualRegex | Kind::NotEqualRegex => format!("<op:{text}>"),
            Kind::Aggregate(_) => format!("<aggr:{text}>"),
            Kind::Bool
            | Kind::By
            | Kind::GroupLeft
            | Kind::GroupRight
            | Kind::Ignoring
            | Kind::Offset
            | Kind::On
            | Kind::Without
            | Kind::Smoothed
            | Kind::Anchored
            | Kind::Fill
            | Kind::FillLeft
            | Kind::FillRight => format!("<{text}>"),
            _ => quote_start(text),
        }
    }
}
