//! Strings of labels, each held once and counted: a string goes when its last series goes.

use hashbrown::HashTable;
use smol_str::SmolStr;

/// Strings by id.
#[derive(Default)]
pub struct Symbols {
    slots: Vec<Slot>,
    free: Vec<u32>,
    ids: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    bytes: usize,
}

struct Slot {
    text: SmolStr,
    uses: u32,
}

impl Symbols {
    /// The id of a string, which from now on is used once more.
    pub fn acquire(&mut self, text: &str) -> u32 {
        let hash = self.hash(text);
        if let Some(id) = self.ids.find(hash, |id| self.slots[*id as usize].text == text) {
            self.slots[*id as usize].uses += 1;
            return *id;
        }
        let slot = Slot { text: SmolStr::from(text), uses: 1 };
        self.bytes += text.len();
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.ids.insert_unique(hash, id, |id| hash_of(hasher, &slots[*id as usize].text));
        id
    }

    /// A use ends.
    pub fn release(&mut self, id: u32) {
        let slot = &mut self.slots[id as usize];
        slot.uses -= 1;
        if slot.uses > 0 {
            return;
        }
        let text = std::mem::take(&mut slot.text);
        self.bytes -= text.len();
        let hash = hash_of(&self.hasher, &text);
        if let Ok(entry) = self.ids.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.free.push(id);
    }

    /// The id of a string that is there.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.ids.find(self.hash(text), |id| self.slots[*id as usize].text == text).copied()
    }

    /// The string of an id; empty for an id that is not in use.
    pub fn text(&self, id: u32) -> &SmolStr {
        static NONE: SmolStr = SmolStr::new_static("");
        self.slots.get(id as usize).map_or(&NONE, |slot| &slot.text)
    }

    /// Ids are below it.
    pub fn bound(&self) -> usize {
        self.slots.len()
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn hash(&self, text: &str) -> u64 {
        hash_of(&self.hasher, text)
    }
}

fn hash_of(hasher: &foldhash::fast::RandomState, text: &str) -> u64 {
    use std::hash::BuildHasher;
    hasher.hash_one(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_goes_with_its_last_use() {
        let mut s = Symbols::default();
        let (a, b) = (s.acquire("a"), s.acquire("b"));
        assert_eq!((s.acquire("a"), s.len()), (a, 2));
        s.release(a);
        assert_eq!(s.find("a"), Some(a));
        s.release(a);
        assert_eq!((s.find("a"), s.len(), s.text(a).as_str()), (None, 1, ""));
        assert_eq!((s.acquire("c"), s.find("b")), (a, Some(b)), "its id is used again");
    }
}
