//! Bytes of open chunks, in slots of few sizes: no allocation per chunk, little slack.
//!
//! A chunk moves to a larger slot when it grows out of its own. A slot's address is a class in the upper 4
//! bits and a place in the lower 28.

/// Sizes of slots. The largest holds 120 samples of the worst floats.
const SIZES: [usize; 16] = [48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 256, 320, 384, 512, 1024, 2560];
const PAGE_SLOTS: usize = 256;
const CLASS_SHIFT: u32 = 28;

/// Address of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotRef(pub u32);

/// Slots of one size that are allocated together.
struct Page {
    bytes: Box<[u8]>,
    /// A bit for each slot that is free.
    free: [u64; PAGE_SLOTS / 64],
    used: usize,
}

#[derive(Default)]
struct Class {
    pages: Vec<Option<Page>>,
    /// Pages that may have a free slot, and whether a page stands there.
    with_room: Vec<u32>,
    listed: Vec<bool>,
    /// Numbers of pages that were given back.
    gone: Vec<u32>,
}

impl Class {
    fn take(&mut self, size: usize) -> u32 {
        while let Some(number) = self.with_room.last().copied() {
            if let Some(page) = &mut self.pages[number as usize]
                && let Some(word) = page.free.iter().position(|bits| *bits != 0)
            {
                let bit = page.free[word].trailing_zeros();
                page.free[word] &= page.free[word] - 1;
                page.used += 1;
                return number * PAGE_SLOTS as u32 + word as u32 * 64 + bit;
            }
            self.with_room.pop();
            self.listed[number as usize] = false;
        }
        let bytes = vec![0; size * PAGE_SLOTS].into_boxed_slice();
        let mut page = Page { bytes, free: [u64::MAX; PAGE_SLOTS / 64], used: 1 };
        page.free[0] -= 1;
        let number = match self.gone.pop() {
            Some(number) => {
                self.pages[number as usize] = Some(page);
                number
            }
            None => {
                self.pages.push(Some(page));
                self.listed.push(false);
                self.pages.len() as u32 - 1
            }
        };
        self.list(number);
        number * PAGE_SLOTS as u32
    }

    fn give(&mut self, place: u32) {
        let (number, slot) = (place / PAGE_SLOTS as u32, place as usize % PAGE_SLOTS);
        let Some(page) = &mut self.pages[number as usize] else { return };
        page.free[slot / 64] |= 1 << (slot % 64);
        page.used -= 1;
        // Series grow side by side: without this, each size would keep the memory of all of them. One page
        // stays, so that a single slot that comes and goes costs no allocation.
        if page.used == 0 && self.pages.len() - self.gone.len() > 1 {
            self.pages[number as usize] = None;
            self.gone.push(number);
        } else {
            self.list(number);
        }
    }

    fn list(&mut self, number: u32) {
        if !std::mem::replace(&mut self.listed[number as usize], true) {
            self.with_room.push(number);
        }
    }
}

/// Slots of all sizes.
#[derive(Default)]
pub struct Slab {
    classes: [Class; 16],
}

impl Slab {
    /// A slot of at least `bytes`, at most the largest size.
    pub fn take(&mut self, bytes: usize) -> SlotRef {
        let class = SIZES.iter().position(|size| *size >= bytes).unwrap_or(SIZES.len() - 1);
        SlotRef((class as u32) << CLASS_SHIFT | self.classes[class].take(SIZES[class]))
    }

    /// Gives a slot back.
    pub fn give(&mut self, slot: SlotRef) {
        let (class, place) = split(slot);
        self.classes[class].give(place);
    }

    /// Bytes of a slot; none where it was given back.
    pub fn get(&self, slot: SlotRef) -> &[u8] {
        let (class, place) = split(slot);
        let at = place as usize % PAGE_SLOTS * SIZES[class];
        match &self.classes[class].pages[place as usize / PAGE_SLOTS] {
            Some(page) => &page.bytes[at..at + SIZES[class]],
            None => &[],
        }
    }

    /// Bytes of a slot, to write.
    pub fn get_mut(&mut self, slot: SlotRef) -> &mut [u8] {
        let (class, place) = split(slot);
        let at = place as usize % PAGE_SLOTS * SIZES[class];
        match &mut self.classes[class].pages[place as usize / PAGE_SLOTS] {
            Some(page) => &mut page.bytes[at..at + SIZES[class]],
            None => &mut [],
        }
    }

    /// A slot with room for `room` bytes that holds the first `used` bytes of `slot`: itself, or a larger one.
    pub fn grow(&mut self, slot: SlotRef, used: usize, room: usize) -> SlotRef {
        if SIZES[split(slot).0] >= room {
            return slot;
        }
        let larger = self.take(room);
        let mut held = [0u8; SIZES[SIZES.len() - 1]];
        held[..used].copy_from_slice(&self.get(slot)[..used]);
        self.get_mut(larger)[..used].copy_from_slice(&held[..used]);
        self.give(slot);
        larger
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.classes.iter().flat_map(|c| &c.pages).flatten().map(|p| p.bytes.len()).sum()
    }
}

fn split(slot: SlotRef) -> (usize, u32) {
    ((slot.0 >> CLASS_SHIFT) as usize, slot.0 & ((1 << CLASS_SHIFT) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_keep_their_bytes_as_they_grow() {
        let mut slab = Slab::default();
        let mut slots: Vec<_> = (0..1000).map(|_| slab.take(40)).collect();
        for used in [0usize, 30, 60, 170, 400, 1000, 2000] {
            for (i, slot) in slots.iter_mut().enumerate() {
                assert!(slab.get(*slot)[..used.min(1)].iter().all(|b| *b == i as u8));
                *slot = slab.grow(*slot, used, used + 300);
                slab.get_mut(*slot)[..used + 300].fill(i as u8);
            }
        }
        let held = slab.bytes();
        assert!(held < 1500 * 2560, "smaller slots were given back: {held} bytes");
        slots.drain(..).for_each(|slot| slab.give(slot));
        for _ in 0..1000 {
            slab.take(2300);
        }
        assert!(slab.bytes() <= held, "slots are used again");
    }
}
