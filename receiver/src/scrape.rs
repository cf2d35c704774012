//! Dolmen's own metrics, stored beside all others: a stream of its own, marked `dolmen="self"`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dolmen_ctx::Ctx;
use dolmen_model::Labels;
use dolmen_remote::SelfScrape;
use dolmen_service::{Metrics, Shutdown};
use dolmen_storage::Appender;

/// How Dolmen scrapes itself.
#[derive(Clone, Debug)]
pub struct ScrapeSettings {
    /// Time between two scrapes; zero: none.
    pub interval: Duration,
    /// `instance`: where HTTP is served.
    pub instance: String,
    /// The receiver's own labels, but for `dolmen`.
    pub external_labels: Labels,
}

/// Scrapes until the word to end.
pub async fn scrape_self(
    ctx: Ctx,
    appender: Arc<dyn Appender>,
    metrics: Metrics,
    settings: ScrapeSettings,
    shutdown: Shutdown,
) {
    if settings.interval.is_zero() {
        return;
    }
    let labels =
        Labels::from_pairs([("job", "dolmen"), ("instance", &settings.instance), ("dolmen", "self")]);
    let mut scrape = SelfScrape::new(labels, settings.external_labels);
    let mut ticks = tokio::time::interval(settings.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.wait() => return,
        }
        let began = Instant::now();
        let text = metrics.text();
        if let Err(e) = scrape.append(&ctx, &*appender, text, began.elapsed(), ctx.clock.now()).await {
            tracing::warn!("scrape of Dolmen itself: {e}");
        }
    }
}
