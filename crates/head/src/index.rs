//! What all stripes share: strings, tuples of label names, postings.

use std::collections::HashMap;

use crate::postings::Postings;
use crate::symbols::Symbols;

/// Strings, tuples of names, postings.
#[derive(Default)]
pub struct Index {
    /// Strings.
    pub symbols: Symbols,
    /// Which series have a label.
    pub postings: Postings,
    shapes: Vec<Box<[u32]>>,
    shape_ids: HashMap<Box<[u32]>, u32, foldhash::fast::RandomState>,
}

impl Index {
    /// The pairs of a new series, as symbols, and its tuple of names. Values are used once more.
    pub fn intern<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> (u32, Vec<(u32, u32)>) {
        let mut out = Vec::new();
        for (name, value) in pairs {
            // Names stay: a tuple of names does not go.
            let name = match self.symbols.find(name) {
                Some(id) => id,
                None => self.symbols.acquire(name),
            };
            out.push((name, self.symbols.acquire(value)));
        }
        let names: Box<[u32]> = out.iter().map(|(name, _)| *name).collect();
        let shape = match self.shape_ids.get(&names) {
            Some(id) => *id,
            None => {
                names.iter().for_each(|name| self.keep_name(*name));
                self.shapes.push(names.clone());
                self.shape_ids.insert(names, self.shapes.len() as u32 - 1);
                self.shapes.len() as u32 - 1
            }
        };
        (shape, out)
    }

    /// A tuple holds its names, beside any value that has the same text.
    fn keep_name(&mut self, name: u32) {
        let text = self.symbols.text(name).clone();
        self.symbols.acquire(&text);
    }

    /// The names of a shape.
    pub fn names(&self, shape: u32) -> &[u32] {
        self.shapes.get(shape as usize).map_or(&[], |names| names)
    }
}
