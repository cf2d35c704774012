//! Whose samples a part of a series holds.

use smol_str::SmolStr;

/// The values of a part's replica labels. Parts with equal ids are one replica's and merge by time;
/// parts with different ids are replicas of each other and are deduplicated.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(SmolStr);

impl SourceId {
    /// From the values of the replica labels, in the order of their names; a label that a series lacks
    /// gives the empty value. The label `dolmen="local"` stands for "none" and must be given as empty.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> SourceId {
        let mut text = String::new();
        let mut any = false;
        for (i, value) in values.into_iter().enumerate() {
            if i > 0 {
                text.push('\u{1f}');
            }
            any |= !value.is_empty();
            text.push_str(value);
        }
        SourceId(if any { SmolStr::from(text) } else { SmolStr::default() })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
