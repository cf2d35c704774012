//! A sort that leaves equal elements where Go's does.
//!
//! Prometheus' `sort` is not stable: which of two equal elements comes first is a matter of the algorithm, a
//! quicksort that looks for patterns, and answers show it. So pivots, thresholds and the generator that breaks
//! patterns are the same here. Up to 12 elements it is an insertion sort, which is stable.

/// Sorts by `less`, which need not be a strict order.
pub fn sort<T: Copy>(items: &mut [T], less: impl Fn(T, T) -> bool) {
    let n = items.len();
    let mut sorter = Sorter { items, less };
    sorter.quick(0, n, usize::BITS - n.leading_zeros());
}

/// Up to so many elements an insertion sort is faster.
const FEW: usize = 12;
/// From so many on a pivot is the median of medians, and single elements are worth moving far.
const MANY: usize = 50;
/// Elements out of order that are put right one by one before that is given up.
const MENDED_MAX: usize = 5;
/// Swaps of a median of medians that is found in falling elements.
const ALL_SWAPPED: usize = 12;

/// What the search for a pivot tells of the order of the elements.
#[derive(Clone, Copy, PartialEq)]
enum Looks {
    Rising,
    Falling,
    Mixed,
}

struct Sorter<'a, T, F> {
    items: &'a mut [T],
    less: F,
}

impl<T: Copy, F: Fn(T, T) -> bool> Sorter<'_, T, F> {
    fn less(&self, a: usize, b: usize) -> bool {
        (self.less)(self.items[a], self.items[b])
    }

    /// Sorts `from..to`; after `bad` unbalanced splits a heap takes over.
    fn quick(&mut self, mut from: usize, mut to: usize, mut bad: u32) {
        let (mut balanced, mut was_split) = (true, true);
        while to - from > FEW {
            let n = to - from;
            if bad == 0 {
                return self.heap(from, to);
            }
            if !balanced {
                self.shuffle(from, to);
                bad -= 1;
            }
            let (mut pivot, mut looks) = self.pivot(from, to);
            if looks == Looks::Falling {
                self.items[from..to].reverse();
                pivot = to - 1 - (pivot - from);
                looks = Looks::Rising;
            }
            if balanced && was_split && looks == Looks::Rising && self.mend(from, to) {
                return;
            }
            // The element before belongs to a lower part: a pivot that is not greater is the least of its own.
            if from > 0 && !self.less(from - 1, pivot) {
                from = self.split_equal(from, to, pivot);
                continue;
            }
            let middle;
            (middle, was_split) = self.split(from, to, pivot);
            let (left, right) = (middle - from, to - middle);
            balanced = left.min(right) >= n / 8;
            if left < right {
                self.quick(from, middle, bad);
                from = middle + 1;
            } else {
                self.quick(middle + 1, to, bad);
                to = middle;
            }
        }
        self.insertion(from, to);
    }

    fn insertion(&mut self, from: usize, to: usize) {
        for i in from + 1..to {
            let mut at = i;
            while at > from && self.less(at, at - 1) {
                self.items.swap(at, at - 1);
                at -= 1;
            }
        }
    }

    fn heap(&mut self, from: usize, to: usize) {
        let n = to - from;
        for root in (0..n.div_ceil(2)).rev() {
            self.sift(from, root, n);
        }
        for end in (0..n).rev() {
            self.items.swap(from, from + end);
            self.sift(from, 0, end);
        }
    }

    fn sift(&mut self, from: usize, mut root: usize, end: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && self.less(from + child, from + child + 1) {
                child += 1;
            }
            if !self.less(from + root, from + child) {
                return;
            }
            self.items.swap(from + root, from + child);
            root = child;
        }
    }

    /// Parts the elements by the pivot; gives its place, and whether they were parted already.
    fn split(&mut self, from: usize, to: usize, pivot: usize) -> (usize, bool) {
        self.items.swap(from, pivot);
        let (mut i, mut j) = (from + 1, to - 1);
        let mut swaps = 0;
        loop {
            while i <= j && self.less(i, from) {
                i += 1;
            }
            while i <= j && !self.less(j, from) {
                j -= 1;
            }
            if i > j {
                break;
            }
            self.items.swap(i, j);
            (i, j) = (i + 1, j - 1);
            swaps += 1;
        }
        self.items.swap(j, from);
        (j, swaps == 0)
    }

    /// Brings what equals the pivot, the least element, to the front; gives the end of that.
    fn split_equal(&mut self, from: usize, to: usize, pivot: usize) -> usize {
        self.items.swap(from, pivot);
        let (mut i, mut j) = (from + 1, to - 1);
        loop {
            while i <= j && !self.less(from, i) {
                i += 1;
            }
            while i <= j && self.less(from, j) {
                j -= 1;
            }
            if i > j {
                return i;
            }
            self.items.swap(i, j);
            (i, j) = (i + 1, j - 1);
        }
    }

    /// Puts a few elements right that are out of order; says whether all are in order then.
    fn mend(&mut self, from: usize, to: usize) -> bool {
        let mut i = from + 1;
        for _ in 0..MENDED_MAX {
            while i < to && !self.less(i, i - 1) {
                i += 1;
            }
            if i == to {
                return true;
            }
            if to - from < MANY {
                return false;
            }
            self.items.swap(i, i - 1);
            if i - from >= 2 {
                let mut at = i - 1;
                while at >= 1 && self.less(at, at - 1) {
                    self.items.swap(at, at - 1);
                    at -= 1;
                }
            }
            if to - i >= 2 {
                let mut at = i + 1;
                while at < to && self.less(at, at - 1) {
                    self.items.swap(at, at - 1);
                    at += 1;
                }
            }
        }
        false
    }

    /// Scatters three elements around the middle.
    fn shuffle(&mut self, from: usize, to: usize) {
        let n = to - from;
        let mut random = n as u64;
        let mask = (1usize << (usize::BITS - n.leading_zeros())) - 1;
        let middle = from + n / 4 * 2;
        for i in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let other = random as usize & mask;
            let other = if other >= n { other - n } else { other };
            self.items.swap(middle + i - 1, from + other);
        }
    }

    fn pivot(&self, from: usize, to: usize) -> (usize, Looks) {
        let n = to - from;
        let mut swaps = 0;
        let mut quarters = [1, 2, 3].map(|q| from + n / 4 * q);
        if n >= MANY {
            quarters = quarters.map(|at| self.median([at - 1, at, at + 1], &mut swaps));
        }
        let pivot = self.median(quarters, &mut swaps);
        let looks = match swaps {
            0 => Looks::Rising,
            ALL_SWAPPED => Looks::Falling,
            _ => Looks::Mixed,
        };
        (pivot, looks)
    }

    fn median(&self, [mut a, mut b, mut c]: [usize; 3], swaps: &mut usize) -> usize {
        let mut order = |a: &mut usize, b: &mut usize| {
            if self.less(*b, *a) {
                std::mem::swap(a, b);
                *swaps += 1;
            }
        };
        order(&mut a, &mut b);
        order(&mut b, &mut c);
        order(&mut a, &mut b);
        b
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ties_lie_where_go_leaves_them() {
        // 203 elements, the greater first; as a recorded answer has them.
        let ones = [52, 53, 54, 58, 59, 60, 64, 65, 66, 122, 123, 124, 128, 129, 130, 180, 182, 186];
        let mut items: Vec<(bool, u32)> = (0..203).map(|i| (ones.contains(&i), i)).collect();
        sort(&mut items, |a, b| a.0 & !b.0);
        let first: Vec<u32> = items.iter().take(22).map(|(_, i)| *i).collect();
        let want = [
            60, 53, 54, 58, 59, 186, 182, 180, 130, 129, 128, 124, 123, 122, 52, 66, 65, 64, 100, 183, 110,
            16,
        ];
        assert_eq!(first, want);
        let moved: Vec<u32> = items[109..].iter().take(5).map(|(_, i)| *i).collect();
        assert_eq!(moved, [109, 15, 14, 132, 113]);
    }

    proptest! {
        #[test]
        fn it_sorts(mut values in prop::collection::vec(0u8..20, 0..300), mode in 0..4) {
            match mode {
                0 => values.sort(),
                1 => values.sort_by(|a, b| b.cmp(a)),
                2 => values.iter_mut().enumerate().for_each(|(i, v)| *v = (i * 7 % 11) as u8),
                _ => {}
            }
            let mut want = values.clone();
            want.sort();
            sort(&mut values, |a, b| a < b);
            prop_assert_eq!(values, want);
        }

        #[test]
        fn few_stay_stable(values in prop::collection::vec(0u8..4, 0..13)) {
            let mut items: Vec<(u8, usize)> = values.into_iter().zip(0..).collect();
            let mut want = items.clone();
            want.sort_by_key(|(v, _)| *v);
            sort(&mut items, |a, b| a.0 < b.0);
            prop_assert_eq!(items, want);
        }
    }
}
