//! Bytes of open chunks, in slots of few sizes: no allocation per chunk, little slack.
//!
//! A chunk moves to a larger slot when it grows out of its own. A slot's address is a class in the upper 4
//! bits and a place in the lower 28.

/// Sizes of slots. The largest holds 120 samples of the worst floats.
const SIZES: [usize; 16] =
    [48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 256, 320, 384, 512, 1024, 2560];
const PAGE_SLOTS: usize = 256;
const CLASS_SHIFT: u32 = 28;

/// Address of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotRef(pub u32);

#[derive(Default)]
struct Class {
    pages: Vec<Box<[u8]>>,
    next: u32,
    free: Vec<u32>,
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
        let c = &mut self.classes[class];
        let place = c.free.pop().unwrap_or_else(|| {
            if c.next as usize == c.pages.len() * PAGE_SLOTS {
                c.pages.push(vec![0; SIZES[class] * PAGE_SLOTS].into_boxed_slice());
            }
            c.next += 1;
            c.next - 1
        });
        SlotRef((class as u32) << CLASS_SHIFT | place)
    }

    /// Gives a slot back.
    pub fn give(&mut self, slot: SlotRef) {
        let (class, place) = split(slot);
        self.classes[class].free.push(place);
    }

    /// Bytes of a slot.
    pub fn get(&self, slot: SlotRef) -> &[u8] {
        let (class, place) = split(slot);
        let at = place as usize % PAGE_SLOTS * SIZES[class];
        &self.classes[class].pages[place as usize / PAGE_SLOTS][at..at + SIZES[class]]
    }

    /// Bytes of a slot, to write.
    pub fn get_mut(&mut self, slot: SlotRef) -> &mut [u8] {
        let (class, place) = split(slot);
        let at = place as usize % PAGE_SLOTS * SIZES[class];
        &mut self.classes[class].pages[place as usize / PAGE_SLOTS][at..at + SIZES[class]]
    }

    /// A slot with room for `room` bytes that holds the first `used` bytes of `slot`: itself, or a larger one.
    pub fn grow(&mut self, slot: SlotRef, used: usize, room: usize) -> SlotRef {
        if self.get(slot).len() >= room {
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
        self.classes.iter().flat_map(|c| &c.pages).map(|p| p.len()).sum()
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
        slots.drain(..).for_each(|slot| slab.give(slot));
        for _ in 0..1000 {
            slab.take(2300);
        }
        assert_eq!(slab.bytes(), held, "slots are used again");
    }
}
