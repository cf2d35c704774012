//! What blocks hold leaves memory and log.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dolmen_model::{Result, Timestamp};
use roaring::RoaringBitmap;

use crate::head::Head;
use crate::stripe::Stripe;

/// How long readers are waited for before chunks are dropped.
const READERS_PATIENCE: Duration = Duration::from_secs(60);

impl Head {
    /// Forgets what the blocks hold that were cut so far; they are readable elsewhere by now.
    pub async fn settle(self: &Arc<Head>) -> Result<()> {
        if !self.readers.drained(READERS_PATIENCE).await {
            tracing::warn!("queries have read for a minute: memory of cut blocks is kept until the next cut");
            return Ok(());
        }
        let head = self.clone();
        tokio::task::spawn_blocking(move || head.forget())
            .await
            .map_err(|e| dolmen_model::Error::wrap(dolmen_model::Kind::Halt, "forget cut chunks", e))?
    }

    fn forget(&self) -> Result<()> {
        let mut limbo = self.cutting.lock();
        // What is logged from here on is in segments that stay.
        let segment = self.wal.cut_segment()?;
        // Who could know of what was removed the last time has ended.
        let mut index = self.index.write();
        limbo.drain(..).for_each(|symbol| index.symbols.release(symbol));
        drop(index);
        let streams = self.streams.all();
        streams.iter().for_each(|s| s.begin_walk());
        let mut oldest = vec![Timestamp::MAX; streams.len()];
        let mut live: HashMap<u64, u32> = HashMap::new();
        for (at, stripe) in self.stripes.iter().enumerate() {
            let mut stripe = stripe.lock();
            stripe.reuse();
            let mut dead = Vec::new();
            for local in stripe.live() {
                let hot = *stripe.hot(local);
                // A stream of a later series than this walk: nothing of it is cut.
                let Some(stream) = streams.get(hot.stream as usize) else {
                    live.insert(hot.wal_ref, hot.stream);
                    continue;
                };
                stripe.drop_before(local, stream.floor());
                match stripe.oldest(local) {
                    Some(t) => {
                        let oldest = &mut oldest[hot.stream as usize];
                        *oldest = t.min(*oldest);
                        live.insert(hot.wal_ref, hot.stream);
                    }
                    None => dead.push(local),
                }
            }
            self.remove(at, &mut stripe, &dead, &mut limbo);
            let index = self.index.read();
            stripe.tidy(|shape| index.names(shape).len());
        }
        streams.iter().zip(oldest).for_each(|(stream, oldest)| stream.end_walk(oldest));
        let mut aliases = self.aliases.lock();
        aliases.retain(|_, to| live.contains_key(to));
        let of_aliases: Vec<_> = aliases.iter().map(|(alias, to)| (*alias, live[to])).collect();
        live.extend(of_aliases);
        drop(aliases);
        self.tell();
        let floor = |r: u64| live.get(&r).map(|s| streams.get(*s as usize).map_or(i64::MIN, |s| s.floor()));
        self.wal
            .truncate(segment, &|r| live.contains_key(&r), &|r, t| floor(r).is_some_and(|floor| t >= floor))
    }

    /// Takes series without chunks out of a stripe and the index. Their strings go when no reader knows them.
    fn remove(&self, at: usize, stripe: &mut Stripe, dead: &[u32], limbo: &mut Vec<u32>) {
        if dead.is_empty() {
            return;
        }
        let mut index = self.index.write();
        let (mut pairs, mut values, mut ids) = (Vec::new(), Vec::new(), RoaringBitmap::new());
        for local in dead {
            let names = index.names(stripe.cold(*local).shape);
            let from = values.len();
            stripe.values(*local, names.len(), &mut values);
            pairs.extend(names.iter().copied().zip(values[from..].iter().copied()));
            let names = names.len();
            stripe.remove(*local, names);
            ids.insert(self.id(at, *local));
        }
        pairs.sort_unstable();
        pairs.dedup();
        index.postings.remove(&ids, &pairs);
        limbo.append(&mut values);
        self.series.fetch_sub(dead.len(), Ordering::Relaxed);
        self.metrics.removed.inc_by(dead.len() as u64);
    }
}
