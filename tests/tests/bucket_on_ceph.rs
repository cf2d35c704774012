//! Upload, fetch, download and delete against a real Ceph gateway, which is killed and stopped meanwhile.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dolmen_block::meta::{Compaction, Thanos};
use dolmen_block::{BlockWriter, ChunkIn, Meta, MetaSeed, Ulid};
use dolmen_bucket::{Bucket, BucketMetrics};
use dolmen_ctx::{Ctx, Disk, RealDisk};
use dolmen_fetcher::{Fetcher, FetcherMetrics, FetcherSettings};
use dolmen_model::{Encoding, Kind, Labels};
use dolmen_shipper::{
    Journal, Shipper, ShipperMetrics, UploadSettings, Uploader, delete_block, download_block,
};
use dolmen_tests::ceph::{self, Ceph};
use dolmen_tests::place;
use prometheus_client::registry::Registry;

/// A block with one chunk of `bytes` bytes, of which nobody looks at more than the header.
fn block(dir: &Path, n: u64, bytes: usize) -> Meta {
    let mut data: Vec<u8> = (0..bytes).map(|i| (i * 31 + i / 251) as u8).collect();
    data[..2].copy_from_slice(&[0, 1]);
    let ulid = Ulid::from_parts(n, u128::from(n));
    let mut w = BlockWriter::create(Arc::new(RealDisk), dir, ulid, ["__name__", "up"]).unwrap();
    let labels = Labels::from_pairs(&BTreeMap::from([("__name__", "up")]));
    let mint = n as i64;
    w.add_series(labels.as_ref(), &[ChunkIn { mint, maxt: mint, encoding: Encoding::Xor, data: &data }])
        .unwrap();
    let labels = BTreeMap::from([("site".to_owned(), "a".to_owned())]);
    let thanos = Some(Thanos { labels, source: "receive".into(), ..Thanos::default() });
    w.finish(MetaSeed { min_time: mint, max_time: mint + 1, compaction: Compaction::default(), thanos })
        .unwrap()
}

struct World {
    /// Stopped before its directory goes.
    ceph: Ceph,
    dir: tempfile::TempDir,
    bucket: Arc<Bucket>,
    metrics: BucketMetrics,
    ctx: Ctx,
}

impl World {
    fn start() -> World {
        let dir = place::scratch("bucket").unwrap();
        let ceph = Ceph::start(&dir.path().join("ceph"), "memstore").unwrap();
        let metrics = BucketMetrics::new(&mut Registry::default());
        let yaml = ceph.objstore().unwrap()
            + "  max_retries: 1\n  http_config: {response_header_timeout: 1s}\nprefix: blocks\n";
        let bucket = dolmen_bucket::open(&yaml, &metrics).unwrap();
        World { ceph, dir, bucket, metrics, ctx: Ctx::unbounded() }
    }

    fn uploader(&self) -> Uploader {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let journal = Journal::open(disk.clone(), self.dir.path().join("uploads")).unwrap();
        // The smallest part that S3 takes.
        let settings = UploadSettings { part_size: 5 << 20, parts_at_once: 2 };
        Uploader::new(self.bucket.store_for("shipper"), disk, Arc::new(journal)).with_settings(settings)
    }

    fn shipper(&self) -> Shipper {
        let metrics = ShipperMetrics::new(&mut Registry::default());
        Shipper::new(self.uploader(), self.dir.path().join("tsdb"), metrics)
    }

    fn fetcher(&self) -> Fetcher {
        let metrics = FetcherMetrics::new(&mut Registry::default());
        Fetcher::new(self.bucket.store_for("fetcher"), FetcherSettings::default(), metrics)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_go_up_and_come_back_though_the_gateway_stops() {
    if place::skip_without(&ceph::PROGRAMS) {
        return;
    }
    let mut w = World::start();
    let tsdb = w.dir.path().join("tsdb");
    std::fs::create_dir(&tsdb).unwrap();
    let small = block(&tsdb, 1, 100);
    let large = block(&tsdb, 2, 12 << 20);

    // Killed: refused at once. Stopped: an error after the patience. Both leave nothing that shows.
    for (fault, heal) in [("kill", "start"), ("stop", "cont")] {
        w.ceph.act(fault).unwrap();
        let begin = Instant::now();
        assert_eq!(w.shipper().sync(&w.ctx).await.unwrap_err().kind(), Kind::Retry);
        assert_eq!(w.fetcher().fetch(&w.ctx).await.unwrap_err().kind(), Kind::Retry);
        assert!(begin.elapsed() < Duration::from_secs(15), "{fault}: {:?}", begin.elapsed());
        w.ceph.act(heal).unwrap();
        assert!(w.fetcher().fetch(&w.ctx).await.unwrap().blocks.is_empty());
    }
    // Stopped in the midst of an upload, which goes on later.
    let shipper = w.shipper();
    let stop = async {
        while w.metrics.requests("put_part", "shipper", "200") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ctx = w.ctx.clone();
    let upload = tokio::spawn(async move { shipper.sync(&ctx).await });
    tokio::time::timeout(Duration::from_secs(20), stop).await.unwrap();
    w.ceph.act("stop").unwrap();
    let first = upload.await.unwrap();
    w.ceph.act("cont").unwrap();
    let shipped = first.as_ref().map_or(0, Vec::len) + w.shipper().sync(&w.ctx).await.unwrap().len();
    assert!(shipped <= 2, "{first:?}");
    assert!(w.uploader().journal().unfinished().is_empty());

    let fetched = w.fetcher().fetch(&w.ctx).await.unwrap();
    assert_eq!(fetched.blocks.keys().copied().collect::<Vec<_>>(), [small.ulid, large.ulid]);
    assert!(fetched.partial.is_empty() && fetched.corrupt.is_empty(), "{fetched:?}");
    let into = w.dir.path().join("down");
    std::fs::create_dir(&into).unwrap();
    let (store, disk): (_, Arc<dyn Disk>) = (w.bucket.store_for("compact"), Arc::new(RealDisk));
    download_block(&w.ctx, &*store, large.ulid, &into, &disk).await.unwrap();
    for file in ["index", "chunks/000001"] {
        let path = Path::new(&large.ulid.to_string()).join(file);
        assert!(
            std::fs::read(into.join(&path)).unwrap() == std::fs::read(tsdb.join(&path)).unwrap(),
            "{file}"
        );
    }
    delete_block(&*store, large.ulid).await.unwrap();
    let fetched = w.fetcher().fetch(&w.ctx).await.unwrap();
    assert_eq!(fetched.blocks.keys().copied().collect::<Vec<_>>(), [small.ulid]);
    assert!(fetched.partial.is_empty());
}
