//! Label matchers.

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::Result;
use crate::pattern::Pattern;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchOp {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `=~`
    Re,
    /// `!~`
    Nre,
}

/// One condition on one label. A label that a series lacks has the empty value.
#[derive(Clone)]
pub struct Matcher {
    name: SmolStr,
    op: MatchOp,
    value: SmolStr,
    pattern: Option<Arc<Pattern>>,
}

impl Matcher {
    /// A matcher; an error where the pattern does not compile.
    pub fn new(op: MatchOp, name: impl Into<SmolStr>, value: impl Into<SmolStr>) -> Result<Matcher> {
        let (name, value) = (name.into(), value.into());
        let pattern = match op {
            MatchOp::Eq | MatchOp::Ne => None,
            MatchOp::Re | MatchOp::Nre => Some(Arc::new(Pattern::new(&value)?)),
        };
        Ok(Matcher { name, op, value, pattern })
    }

    /// `name="value"`.
    pub fn eq(name: impl Into<SmolStr>, value: impl Into<SmolStr>) -> Matcher {
        Matcher { name: name.into(), op: MatchOp::Eq, value: value.into(), pattern: None }
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or pattern as written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label value passes.
    pub fn matches(&self, value: &str) -> bool {
        match (&self.pattern, self.op) {
            (None, MatchOp::Eq) => self.value == value,
            (None, _) => self.value != value,
            (Some(p), MatchOp::Re) => p.matches(value),
            (Some(p), _) => !p.matches(value),
        }
    }

    /// Whether a series without the label passes.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The values that a pattern matches, where they are few and known.
    pub fn set_matches(&self) -> Option<&[SmolStr]> {
        match self.pattern.as_deref() {
            Some(Pattern::Values(values)) => Some(values),
            _ => None,
        }
    }

    /// A prefix that every value has which a pattern matches.
    pub fn prefix(&self) -> Option<&str> {
        match self.pattern.as_deref() {
            Some(Pattern::Regex { prefix, .. }) if !prefix.is_empty() => Some(prefix),
            _ => None,
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}
impl Eq for Matcher {}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            MatchOp::Eq => "=",
            MatchOp::Ne => "!=",
            MatchOp::Re => "=~",
            MatchOp::Nre => "!~",
        };
        write!(f, "{}{op}{:?}", self.name, self.value)
    }
}
