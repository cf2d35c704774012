//! Times of samples -> the scrape interval.

use dolmen_model::{Columns, Timestamp};

use super::sample::Place;

/// So many samples to either side are looked at.
pub const NEAR: usize = 8;
/// From so many intervals on a replica's word counts.
const ENOUGH: usize = 4;

/// The scrape interval near some places in the replicas; 0 where nothing tells it.
///
/// It is the lower quartile of the distances, so that missed scrapes do not stretch it, and the shortest of
/// the replicas, so that one that misses every other scrape does not set the measure.
pub fn interval(parts: &[Columns], at: &[Place]) -> i64 {
    let mut sure: Option<i64> = None;
    let mut unsure: Option<i64> = None;
    for (c, at) in parts.iter().zip(at) {
        let mut deltas = [0; 4 * NEAR];
        let mut n = 0;
        for (times, i) in [(&c.t, at.float), (&c.h.t, at.histogram)] {
            for pair in near(times, i).windows(2) {
                deltas[n] = pair[1].saturating_sub(pair[0]);
                n += 1;
            }
        }
        if n == 0 {
            continue;
        }
        let delta = *deltas[..n].select_nth_unstable((n - 1) / 4).1;
        let least = if n >= ENOUGH { &mut sure } else { &mut unsure };
        *least = Some(least.map_or(delta, |l| l.min(delta)));
    }
    sure.or(unsure).unwrap_or(0)
}

fn near(times: &[Timestamp], i: usize) -> &[Timestamp] {
    &times[i.saturating_sub(NEAR).min(times.len())..i.saturating_add(NEAR).min(times.len())]
}
