//! A loser tree: which of k sorted runs stands at the least element, in one comparison a level.
//!
//! ```text
//!   0     winner of all
//!   1     loser of the last match        node n plays the winners below 2n and 2n + 1;
//!  2 3    losers of the matches before   it keeps the loser, the winner goes up
//! 4 5 6 7 runs 0 1 2 3                   run i stands at k + i
//! ```

/// The tree holds numbers of runs; who beats whom is told from outside, as of now.
#[derive(Debug, Default)]
pub(crate) struct LoserTree(Vec<usize>);

impl LoserTree {
    /// A tree of `k` runs. `beats` says whether the first run stands before the second; no two are equal.
    pub fn new(k: usize, beats: impl Fn(usize, usize) -> bool) -> LoserTree {
        let mut nodes = vec![0; k];
        // Winners of the lower half on the way up.
        let mut winners: Vec<usize> = vec![0; k];
        winners.extend(0..k);
        for node in (1..k).rev() {
            let (a, b) = (winners[2 * node], winners[2 * node + 1]);
            let (winner, loser) = if beats(a, b) { (a, b) } else { (b, a) };
            (winners[node], nodes[node]) = (winner, loser);
        }
        if let Some(top) = nodes.first_mut() {
            *top = winners[1];
        }
        LoserTree(nodes)
    }

    /// The run that stands at the least element. There must be one.
    pub fn winner(&self) -> usize {
        self.0[0]
    }

    /// Plays again the matches of the winner, which has moved on.
    pub fn replay(&mut self, beats: impl Fn(usize, usize) -> bool) {
        let mut winner = self.0[0];
        let mut node = (self.0.len() + winner) / 2;
        while node > 0 {
            if beats(self.0[node], winner) {
                std::mem::swap(&mut self.0[node], &mut winner);
            }
            node /= 2;
        }
        self.0[0] = winner;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merges_sorted_runs(mut runs in prop::collection::vec(prop::collection::vec(0u8..50, 0..20), 1..20)) {
            runs.iter_mut().for_each(|r| r.sort_unstable());
            let mut want: Vec<u8> = runs.iter().flatten().copied().collect();
            want.sort_unstable();
            let mut at = vec![0; runs.len()];
            // A run at its end stands behind all others.
            let key = |at: &[usize], i: usize| (runs[i].get(at[i]).copied().map_or(u16::MAX, u16::from), i);
            let mut tree = LoserTree::new(runs.len(), |a, b| key(&at, a) < key(&at, b));
            let mut got = Vec::new();
            while let Some(v) = runs[tree.winner()].get(at[tree.winner()]) {
                got.push(*v);
                at[tree.winner()] += 1;
                tree.replay(|a, b| key(&at, a) < key(&at, b));
            }
            prop_assert_eq!(got, want);
        }
    }
}
