//! What every series of a store must be.

use std::cmp::Ordering;
use std::sync::Arc;

use dolmen_model::{Error, Matcher, Result};
use dolmen_storage::Select;
use smol_str::SmolStr;

use super::frame::LabelText;
use super::text::short;
use crate::StoreFacts;

/// Characters of a label set in a text.
const SHOWN_MAX: usize = 80;

/// Checks series, one after the other.
pub(super) struct Check {
    /// Those that can be seen to hold.
    matchers: Vec<Matcher>,
    all_matchers: Arc<[Matcher]>,
    /// Labels that the store was asked to leave out.
    left_out: Arc<[SmolStr]>,
    /// The site's label and its value, where it is known.
    site: Option<(SmolStr, SmolStr)>,
    last: Option<LabelText>,
    free: LabelText,
}

/// How a series stands to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A series of its own.
    New,
    /// A further piece of the one before.
    Same,
}

impl Check {
    pub fn new(select: &Select, facts: &StoreFacts, site_label: &SmolStr) -> Check {
        let left_out: Arc<[SmolStr]> = if facts.parts { select.without.clone() } else { Arc::from([]) };
        let seen = |name: &str| !left_out.iter().any(|w| w == name);
        Check {
            matchers: select.matchers.iter().filter(|m| seen(m.name())).cloned().collect(),
            all_matchers: select.matchers.clone(),
            site: site(facts, site_label).filter(|_| seen(site_label)),
            left_out,
            last: None,
            free: LabelText::default(),
        }
    }

    /// Checks a series' labels; chunks that are further ones of the series before come with the same labels.
    pub fn series(&mut self, labels: &LabelText) -> Result<Place> {
        match self.last.as_ref().map(|last| last.order(labels)) {
            Some(Ordering::Equal) => return Ok(Place::Same),
            Some(Ordering::Greater) => {
                let last = self.last.as_ref().map(shown).unwrap_or_default();
                return Err(Error::corrupt(format!("series out of order: {} after {last}", shown(labels))));
            }
            Some(Ordering::Less) | None => {}
        }
        self.form(labels)?;
        self.belongs(labels)?;
        let mut kept = self.last.take().unwrap_or_else(|| std::mem::take(&mut self.free));
        kept.clone_from(labels);
        self.last = Some(kept);
        Ok(Place::New)
    }

    fn form(&self, labels: &LabelText) -> Result<()> {
        let mut before = "";
        for (name, value) in labels.iter() {
            let what = match name.cmp(before) {
                _ if name.is_empty() => "a label without a name",
                _ if value.is_empty() => "a label without a value",
                Ordering::Equal => "a label twice",
                Ordering::Less => "labels out of order",
                Ordering::Greater => {
                    before = name;
                    continue;
                }
            };
            return Err(Error::corrupt(format!("series with {what}: {}", shown(labels))));
        }
        if let Some(name) = self.left_out.iter().find(|w| !labels.value(w).is_empty()) {
            let name = short(name);
            return Err(Error::corrupt(format!("series with {name}, asked without it: {}", shown(labels))));
        }
        Ok(())
    }

    fn belongs(&self, labels: &LabelText) -> Result<()> {
        if let Some((name, value)) = &self.site
            && labels.value(name) != value
        {
            let (labels, value) = (shown(labels), short(value));
            return Err(Error::corrupt(format!("foreign labels: {labels}, the store's {name} is {value:?}")));
        }
        if self.matchers.iter().any(|m| !m.matches(labels.value(m.name()))) {
            let asked: Vec<String> = self.all_matchers.iter().map(Matcher::to_string).collect();
            let asked = cut(&format!("{{{}}}", asked.join(", ")));
            return Err(Error::corrupt(format!(
                "series that was not asked for: {} for {asked}",
                shown(labels)
            )));
        }
        Ok(())
    }
}

/// The site's label, where all sets that the store announces agree on its value.
fn site(facts: &StoreFacts, label: &SmolStr) -> Option<(SmolStr, SmolStr)> {
    let mut values = facts.label_sets.iter().map(|set| set.get(label));
    let first = values.next()??;
    values.all(|v| v == Some(first)).then(|| (label.clone(), first.into()))
}

fn shown(labels: &LabelText) -> String {
    cut(&labels.display())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => short(format_args!("{}…", &text[..at])),
        None => short(text),
    }
}

#[cfg(test)]
mod tests;
