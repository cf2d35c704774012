//! Flags of all roles. Spelling and meaning are Thanos' where Thanos has the flag.

mod value;

use std::path::PathBuf;

use clap::Args;

pub use value::{Address, Label, Millis, Size};

/// Of every role that listens.
#[derive(Args, Debug, Clone)]
pub struct Listen {
    /// Where HTTP is served; port 0 picks one.
    #[arg(long = "http-address", default_value = "0.0.0.0:10902", value_name = "HOST:PORT")]
    pub http_address: Address,
    /// Where gRPC (the StoreAPI) is served; port 0 picks one.
    #[arg(long = "grpc-address", default_value = "0.0.0.0:10901", value_name = "HOST:PORT")]
    pub grpc_address: Address,
    /// How long a stop waits for requests that are under way.
    #[arg(long = "http-grace-period", default_value = "2m", value_name = "DURATION")]
    pub grace: Millis,
    /// What is logged.
    #[command(flatten)]
    pub log: Log,
}

/// Logging.
#[derive(Args, Debug, Clone)]
pub struct Log {
    /// Least level that is logged: debug, info, warn or error.
    #[arg(long = "log.level", default_value = "info", value_parser = ["debug", "info", "warn", "error"])]
    pub level: String,
    /// Format of log lines.
    #[arg(long = "log.format", default_value = "logfmt", value_parser = ["logfmt", "json"])]
    pub format: String,
}

/// Which bucket.
#[derive(Args, Debug, Clone, Default)]
pub struct Objstore {
    /// Bucket configuration, as YAML, in Thanos' form (S3 or FILESYSTEM).
    #[arg(long = "objstore.config", value_name = "YAML", conflicts_with = "file")]
    pub config: Option<String>,
    /// File with the bucket configuration.
    #[arg(id = "file", long = "objstore.config-file", value_name = "PATH")]
    pub config_file: Option<PathBuf>,
}

/// How queries are answered.
#[derive(Args, Debug, Clone)]
pub struct Query {
    /// Label that tells replicas apart; repeatable, '' for none.
    #[arg(long = "query.replica-label", default_value = "prometheus_replica", value_name = "NAME")]
    pub replica_labels: Vec<String>,
    /// External label whose value is the datacenter of a store.
    #[arg(long = "query.site-label", default_value = "site", value_name = "NAME")]
    pub site_label: String,
    /// Answers that lack data come with a warning. The default; a request's partial_response overrides it.
    #[arg(long = "query.partial-response", overrides_with = "no_partial_response")]
    pub partial_response: bool,
    /// Answers that lack data are errors.
    #[arg(long = "no-query.partial-response")]
    pub no_partial_response: bool,
    /// Longest time a query may take.
    #[arg(long = "query.timeout", default_value = "2m", value_name = "DURATION")]
    pub timeout: Millis,
    /// Most queries at once.
    #[arg(long = "query.max-concurrent", default_value_t = 20, value_name = "N")]
    pub max_concurrent: usize,
    /// How far back an instant selector looks.
    #[arg(long = "query.lookback-delta", default_value = "5m", value_name = "DURATION")]
    pub lookback: Millis,
    /// Most samples a query may hold at once.
    #[arg(long = "query.max-samples", default_value_t = 50_000_000, value_name = "N")]
    pub max_samples: usize,
    /// Most memory that all queries together may take.
    #[arg(long = "query.max-memory", default_value = "2GiB", value_name = "SIZE")]
    pub max_memory: Size,
    /// Feature to switch on, by Prometheus' name; repeatable, or separated by commas.
    #[arg(long = "enable-feature", value_name = "NAME", value_delimiter = ',')]
    pub features: Vec<String>,
}

/// Which stores in other processes are asked.
#[derive(Args, Debug, Clone)]
pub struct Stores {
    /// gRPC address of a store: another Dolmen or a Thanos component; repeatable.
    #[arg(long = "endpoint", value_name = "HOST:PORT")]
    pub endpoints: Vec<String>,
    /// A store that sends nothing for so long is gone; its data is missing in the answer, which says so.
    #[arg(long = "store.response-timeout", default_value = "3s", value_name = "DURATION")]
    pub response_timeout: Millis,
}

/// How samples are taken.
#[derive(Args, Debug, Clone)]
pub struct Write {
    /// Length of blocks, at least 10s.
    #[arg(long = "tsdb.min-block-duration", default_value = "2h", value_name = "DURATION")]
    pub min_block: Millis,
    /// Longest block that is cut; not below the shortest.
    #[arg(long = "tsdb.max-block-duration", default_value = "2h", value_name = "DURATION")]
    pub max_block: Millis,
    /// Label that tells senders of an HA pair apart: each gets blocks of its own; repeatable, '' for none.
    #[arg(
        id = "receive_replica_labels",
        long = "receive.replica-label",
        default_value = "prometheus_replica",
        value_name = "NAME"
    )]
    pub replica_labels: Vec<String>,
    /// Largest request, decoded.
    #[arg(long = "receive.max-request-bytes", default_value = "32MiB", value_name = "SIZE")]
    pub max_request: Size,
}

/// How the bucket is read.
#[derive(Args, Debug, Clone)]
pub struct Sync {
    /// How often the bucket is looked at for new blocks.
    #[arg(long = "sync-block-duration", default_value = "3m", value_name = "DURATION")]
    pub interval: Millis,
}

/// How the bucket is compacted.
#[derive(Args, Debug, Clone)]
pub struct Compaction {
    /// Time between two runs.
    #[arg(long = "wait-interval", default_value = "5m", value_name = "DURATION")]
    pub wait_interval: Millis,
    /// How long a block that was replaced stays.
    #[arg(long = "delete-delay", default_value = "48h", value_name = "DURATION")]
    pub delete_delay: Millis,
    /// How old a block must be before it is compacted.
    #[arg(long = "consistency-delay", default_value = "30m", value_name = "DURATION")]
    pub consistency_delay: Millis,
    /// Lengths of blocks, ascending; the first is that of the blocks that arrive.
    #[arg(
        long = "compact.block-ranges",
        default_value = "1h,2h,8h,2d,14d",
        value_delimiter = ',',
        value_name = "DURATION"
    )]
    pub ranges: Vec<Millis>,
}

/// `serve`.
#[derive(Args, Debug)]
pub struct Serve {
    #[command(flatten)]
    pub listen: Listen,
    #[command(flatten)]
    pub objstore: Objstore,
    #[command(flatten)]
    pub query: Query,
    #[command(flatten)]
    pub write: Write,
    #[command(flatten)]
    pub sync: Sync,
    #[command(flatten)]
    pub compaction: Compaction,
    #[command(flatten)]
    pub stores: Stores,
    /// Where everything is kept: wal/, and bucket/ unless another bucket is configured.
    #[arg(long = "data-dir", default_value = "./dolmen-data", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// External label NAME="VALUE" of all blocks; repeatable.
    #[arg(long = "label", value_name = "NAME=\"VALUE\"")]
    pub labels: Vec<Label>,
    /// Of `compact`; here runs always follow one another.
    #[arg(long, hide = true)]
    pub wait: bool,
    /// How often Dolmen scrapes itself; 0 never.
    #[arg(long = "self-scrape-interval", default_value = "5s", value_name = "DURATION")]
    pub self_scrape: Millis,
}

/// `receive`.
#[derive(Args, Debug)]
pub struct Receive {
    #[command(flatten)]
    pub listen: Listen,
    #[command(flatten)]
    pub objstore: Objstore,
    #[command(flatten)]
    pub query: Query,
    #[command(flatten)]
    pub write: Write,
    /// Where the write-ahead log and cut blocks are kept.
    #[arg(long = "tsdb.path", default_value = "./data", value_name = "DIR")]
    pub tsdb_path: PathBuf,
    /// External label NAME="VALUE" of all blocks; repeatable, at least one.
    #[arg(long = "label", value_name = "NAME=\"VALUE\"", required = true)]
    pub labels: Vec<Label>,
    /// Where remote write is taken, beside the HTTP address.
    #[arg(long = "remote-write.address", default_value = "0.0.0.0:19291", value_name = "HOST:PORT")]
    pub remote_write: Address,
    /// Gateways look at the bucket this often: a shipped block stays here three times as long.
    #[command(flatten)]
    pub sync: Sync,
}

/// `gateway`.
#[derive(Args, Debug)]
pub struct Gateway {
    #[command(flatten)]
    pub listen: Listen,
    #[command(flatten)]
    pub objstore: Objstore,
    #[command(flatten)]
    pub query: Query,
    #[command(flatten)]
    pub sync: Sync,
    /// Where index-headers are cached.
    #[arg(long = "data-dir", default_value = "./data", value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// `query`.
#[derive(Args, Debug)]
pub struct Querying {
    #[command(flatten)]
    pub listen: Listen,
    #[command(flatten)]
    pub query: Query,
    #[command(flatten)]
    pub stores: Stores,
    /// Where it is remembered what stores said of themselves.
    #[arg(long = "data-dir", default_value = "./dolmen-query", value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// `compact`.
#[derive(Args, Debug)]
pub struct Compact {
    #[command(flatten)]
    pub listen: Listen,
    #[command(flatten)]
    pub objstore: Objstore,
    #[command(flatten)]
    pub compaction: Compaction,
    /// Goes on with another run every --wait-interval, and serves its metrics meanwhile.
    #[arg(long)]
    pub wait: bool,
    /// Where blocks are written before they are uploaded.
    #[arg(long = "data-dir", default_value = "./data", value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// `open`.
#[derive(Args, Debug)]
pub struct Open {
    #[command(flatten)]
    pub listen: Listen,
    #[command(flatten)]
    pub query: Query,
    /// Directories that hold blocks; together they are one database.
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
}
