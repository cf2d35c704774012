//! A bucket of blocks in a directory, and what a gateway would say of it.

use std::path::Path;
use std::sync::Arc;

use dolmen_block::Meta;
use dolmen_bucket::{Bucket, BucketMetrics};
use dolmen_bucketstore::{BucketStore, BucketStoreMetrics, BucketStoreSettings};
use dolmen_ctx::{Clock, Ctx, RealDisk};
use dolmen_fanout::Fanout;
use dolmen_fetcher::{Fetcher, FetcherMetrics, FetcherSettings};
use dolmen_storage::Queryable;
use dolmen_storeapi::StoreFacts;
use prometheus_client::registry::Registry;

/// The raw blocks of the bucket in `dir` as one store, as of `now`; index-headers are kept in `cache`.
pub async fn open(dir: &Path, cache: &Path, now: Arc<dyn Clock>) -> (Arc<dyn Queryable>, StoreFacts) {
    let registry = &mut Registry::default();
    let bucket = Bucket::filesystem(dir, &BucketMetrics::new(registry)).expect("a directory");
    let fetcher = Fetcher::new(
        bucket.store_for("fetcher"),
        FetcherSettings::default(),
        FetcherMetrics::new(&mut Registry::default()),
    );
    let metrics = BucketStoreMetrics::new(&mut Registry::default());
    let settings = BucketStoreSettings::new(cache.to_owned());
    let store = BucketStore::new(bucket.store_for("gateway"), fetcher, Arc::new(RealDisk), settings, metrics);
    store.sync(&Ctx { clock: now, ..Ctx::unbounded() }).await.expect("the bucket is there");
    let hold = |ulid: &dolmen_block::Ulid| {
        let bytes = std::fs::read(dir.join(ulid.to_string()).join("meta.json")).expect("a block has a meta");
        let meta = Meta::parse(&bytes).expect("the store has read it");
        Some((meta.external_labels(), meta.range()?))
    };
    let facts = StoreFacts::of("store", store.ulids().iter().filter_map(hold));
    (Arc::new(Fanout::new(store.queryables())), facts)
}
