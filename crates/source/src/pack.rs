//! Many ranges -> few requests: ranges that lie near each other are fetched in one.

use std::ops::Range;

use crate::{ObjectPart, RangeOf};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pack {
    pub part: ObjectPart,
    pub range: Range<u64>,
}

/// Requests for `ranges`, sorted by file and place, and for each range the request that holds it. Gaps up to
/// `gap` bytes are fetched along; a request does not grow beyond `size_max` by that.
pub(crate) fn pack(ranges: &[RangeOf], gap: u64, size_max: u64) -> (Vec<Pack>, Vec<usize>) {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_unstable_by_key(|i| (ranges[*i].0, ranges[*i].1.start));
    let mut packs: Vec<Pack> = Vec::new();
    let mut place = vec![0; ranges.len()];
    for i in order {
        let (part, range) = &ranges[i];
        let near = |p: &Pack| {
            let end = p.range.end.max(range.end);
            let fits = range.end <= p.range.end || end - p.range.start <= size_max;
            p.part == *part && range.start <= p.range.end.saturating_add(gap) && fits
        };
        match packs.last_mut().filter(|p| near(p)) {
            Some(p) => p.range.end = p.range.end.max(range.end),
            None => packs.push(Pack { part: *part, range: range.clone() }),
        }
        place[i] = packs.len() - 1;
    }
    (packs, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_share_a_request() {
        let index = ObjectPart::Index;
        let ranges = [
            (index, 100..110),
            (index, 0..10),
            (index, 15..20),
            (ObjectPart::Chunks(0), 21..30),
            (index, 2..4),
        ];
        let (packs, place) = pack(&ranges, 5, 1000);
        let got: Vec<_> = packs.iter().map(|p| (p.part, p.range.clone())).collect();
        assert_eq!(got, [(index, 0..20), (index, 100..110), (ObjectPart::Chunks(0), 21..30)]);
        assert_eq!(place, [1, 0, 0, 2, 0]);
        assert_eq!(pack(&ranges, 5, 12).0.len(), 4);
    }
}
