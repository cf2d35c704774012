//! Answers of `LabelNames` and `LabelValues`, and what any answer lacks.

use std::sync::Arc;

use dolmen_ctx::Ctx;
use dolmen_model::{Answer, Completeness, Error, Missing, Result, TimeRange};
use dolmen_storage::{LabelAsk, Origin, Select};
use smol_str::SmolStr;

use super::frame::Lack;
use super::text::short;
use super::wire::{Fields, Value, text};
use crate::StoreFacts;

/// Warnings of one answer that are kept.
const WARNINGS_MAX: usize = 32;
/// Lacks of one answer that a store may tell in fields.
const LACKS_MAX: usize = 1000;

/// Reads either answer: their fields have equal numbers.
pub(super) fn read(
    ctx: &Ctx,
    select: &Select,
    ask: &LabelAsk,
    facts: &StoreFacts,
    origin: &Arc<Origin>,
    message: &[u8],
) -> Result<Answer<Vec<SmolStr>>> {
    let mut lacks = Lacks::new(select, facts, origin);
    let mut count = 0;
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        if let (1, Value::Bytes(_)) = field {
            count += 1;
        }
    }
    // Another Dolmen says in fields what its warnings tell in words.
    if !facts.parts || lacks.fields(message, 1000)? == 0 {
        lacks.warnings(message, 2)?;
    }
    let _held = ctx.budget.reserve((count * size_of::<SmolStr>() + message.len()) as u64)?;
    let hidden = |name: &str| *ask == LabelAsk::Names && select.without.iter().any(|w| w == name);
    let mut value: Vec<SmolStr> = Vec::with_capacity(count);
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        if let (1, Value::Bytes(string)) = field {
            let string = text(string, "a label name or value")?;
            if !string.is_empty() && !hidden(string) {
                value.push(string.into());
            }
        }
    }
    value.sort_unstable();
    value.dedup();
    if let Some(limit) = select.limit {
        value.truncate(usize::try_from(limit.get()).unwrap_or(usize::MAX));
    }
    Ok(Answer { value, completeness: lacks.take() })
}

/// What an answer lacks.
pub(super) struct Lacks {
    origin: Arc<Origin>,
    asks_others: bool,
    asked: TimeRange,
    /// What a warning concerns, which names no time.
    range: TimeRange,
    seen: usize,
    completeness: Completeness,
}

impl Lacks {
    pub fn new(select: &Select, facts: &StoreFacts, origin: &Arc<Origin>) -> Lacks {
        let range = facts.range.and_then(|r| r.intersect(select.range)).unwrap_or(select.range);
        Lacks {
            origin: origin.clone(),
            asks_others: facts.component == "query",
            asked: select.range,
            range,
            seen: 0,
            completeness: Completeness::complete(),
        }
    }

    /// What the store says in words.
    pub fn warning(&mut self, text: &str) {
        self.seen += 1;
        if self.seen <= WARNINGS_MAX {
            let Origin { site, store } = &*self.origin;
            let (site, store) = (site.clone(), store.clone());
            self.completeness.add(Missing { site, store, range: self.range, cause: short(text) });
        }
    }

    /// The same, for those of `number` in the message.
    fn warnings(&mut self, message: &[u8], number: u32) -> Result<()> {
        let mut fields = Fields::of(message);
        while let Some(field) = fields.next()? {
            match field {
                (n, Value::Bytes(warning)) if n == number => self.warning(text(warning, "a warning")?),
                _ => {}
            }
        }
        Ok(())
    }

    /// What the store says in fields: those of `number` in the message; how many there are.
    pub fn fields(&mut self, message: &[u8], number: u32) -> Result<usize> {
        let mut count = 0;
        Lack::all(message, number, |lack| {
            count += 1;
            if count > LACKS_MAX {
                return Err(Error::corrupt(format!("more than {LACKS_MAX} lacks in one answer")));
            }
            // What was not asked for is not missing.
            let Some(range) = lack.range.intersect(self.asked) else { return Ok(()) };
            // Only who asks others can know what others lack.
            let (site, store) = match self.asks_others && !lack.store.is_empty() {
                true => (short(lack.site).into(), short(lack.store).into()),
                false => (self.origin.site.clone(), self.origin.store.clone()),
            };
            self.completeness.add(Missing { site, store, range, cause: short(lack.cause) });
            Ok(())
        })?;
        Ok(count)
    }

    pub fn take(&mut self) -> Completeness {
        std::mem::take(&mut self.completeness)
    }
}
