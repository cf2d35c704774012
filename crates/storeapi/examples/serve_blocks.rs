//! Serves the raw blocks of a filesystem bucket over the StoreAPI: `serve_blocks DIRECTORY ADDRESS`.
//!
//! For looking at other queriers, which can be put in front of it.

use std::path::Path;
use std::sync::Arc;

use dolmen_ctx::{PoolCpu, SystemClock};
use dolmen_service::{HttpSettings, Listener, Shutdown, serve_http};
use dolmen_storeapi::{Describe, ServerSettings, StoreApiMetrics, StoreFacts, StoreServer};
use prometheus_client::registry::Registry;

#[path = "../tests/common/blocks.rs"]
mod blocks;

struct Fixed(StoreFacts);

impl Describe for Fixed {
    fn facts(&self) -> StoreFacts {
        self.0.clone()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(dir), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: serve_blocks DIRECTORY ADDRESS".into());
    };
    let cache = tempfile::tempdir()?;
    let (queryable, facts) = blocks::open(Path::new(&dir), cache.path(), Arc::new(SystemClock)).await;
    let server = StoreServer {
        queryable,
        describe: Arc::new(Fixed(facts)),
        settings: ServerSettings::default(),
        clock: Arc::new(SystemClock),
        cpu: Arc::new(PoolCpu::new(2)?),
        metrics: StoreApiMetrics::new(&mut Registry::default()),
    };
    let listener = Listener::bind("ADDRESS", &address).await?;
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    println!("READY {}", listener.address());
    serve_http(listener, server.routes(), HttpSettings::default(), shutdown).await;
    Ok(())
}
