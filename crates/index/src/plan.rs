//! Matchers -> which postings lists are needed, and what to do with them.
//!
//! A label that a series lacks has the empty value. So a matcher that does not pass the empty value asks for
//! the union of the lists of the values that pass; one that does asks for all series but those in the lists of
//! the values that do not pass.

use std::ops::Range;

use dolmen_model::{MatchOp, Matcher, Result};

use crate::postings::{Postings, filter, union};
use crate::symbols::utf8;
use crate::table::PostingsTable;

/// Lists to fetch, and what to do with them.
#[derive(Clone, Debug)]
pub struct Plan {
    groups: Vec<Group>,
    nothing: bool,
}

/// The lists of one matcher.
#[derive(Clone, Debug)]
struct Group {
    /// Ids of the lists stay; else they go.
    keep: bool,
    lists: Vec<Range<u64>>,
}

impl Plan {
    /// A plan for series that pass all matchers. Reads the table alone.
    pub fn new(table: &PostingsTable, matchers: &[Matcher]) -> Result<Plan> {
        let mut groups = Vec::with_capacity(matchers.len() + 1);
        for m in matchers {
            let keep = !m.matches_empty();
            let lists = lists(table, m, keep)?;
            if keep && lists.is_empty() {
                return Ok(Plan { groups: Vec::new(), nothing: true });
            }
            if !lists.is_empty() {
                groups.push(Group { keep, lists });
            }
        }
        if !groups.iter().any(|g| g.keep) {
            groups.push(Group { keep: true, lists: vec![table.all()?] });
        }
        // Those that stay first, the smallest ahead; then those that go.
        groups.sort_by_key(|g| (!g.keep, g.bytes()));
        Ok(Plan { groups, nothing: false })
    }

    /// Whether no series can pass.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// Bytes of the index that are needed, list by list, in the order in which [`Plan::resolve`] wants them.
    pub fn lists(&self) -> impl Iterator<Item = Range<u64>> {
        self.groups.iter().flat_map(|g| g.lists.iter().cloned())
    }

    /// Ids of the series that pass, ascending, which is label order. `lists` are those of [`Plan::lists`].
    pub fn resolve(&self, lists: &[Postings]) -> Vec<u32> {
        let mut rest = lists;
        let mut ids: Option<Vec<u32>> = None;
        for group in &self.groups {
            let (these, others) = rest.split_at(group.lists.len().min(rest.len()));
            rest = others;
            match &mut ids {
                None => ids = Some(union(these)),
                Some(ids) => filter(ids, these, group.keep),
            }
        }
        ids.unwrap_or_default()
    }
}

impl Group {
    fn bytes(&self) -> u64 {
        self.lists.iter().map(|l| l.end - l.start).sum()
    }
}

/// Lists of the values that pass (`pass`), or do not pass.
fn lists(table: &PostingsTable, m: &Matcher, pass: bool) -> Result<Vec<Range<u64>>> {
    // `a="x"` and `a!="x"` concern one value, whichever side is asked for, unless it is the empty one.
    let one = matches!((m.op(), pass), (MatchOp::Eq, true) | (MatchOp::Ne, false));
    if one {
        return Ok(table.list(m.name(), m.value()).into_iter().collect());
    }
    let positive = m.op() == MatchOp::Re;
    if positive == pass
        && let Some(set) = m.set_matches()
    {
        let mut set: Vec<&str> = set.iter().map(|v| v.as_str()).filter(|v| !v.is_empty()).collect();
        set.sort_unstable();
        set.dedup();
        return Ok(set.into_iter().filter_map(|v| table.list(m.name(), v)).collect());
    }
    let prefix = m.prefix().filter(|_| positive && pass).unwrap_or("");
    let mut out = Vec::new();
    for (value, list) in table.values_from(m.name(), prefix) {
        if !value.starts_with(prefix.as_bytes()) {
            break;
        }
        if m.matches(utf8(value)?) == pass {
            out.push(list);
        }
    }
    Ok(out)
}
