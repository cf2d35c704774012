//! `tools bucket`: lists the blocks of a bucket, and checks them down to the last byte.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use clap::{Args, Subcommand, ValueEnum};
use dolmen_block::Ulid;
use dolmen_bucket::BucketMetrics;
use dolmen_compact::verify::{Finding, verify_bucket};
use dolmen_ctx::Ctx;
use dolmen_fetcher::{BlockEntry, Fetched, Fetcher, FetcherMetrics, FetcherSettings};
use object_store::ObjectStore;
use prometheus_client::registry::Registry;
use serde::Serialize;

use crate::exit::{Exit, Outcome};
use crate::flags::Objstore;

/// Tools for buckets.
#[derive(Subcommand, Debug)]
pub enum Bucket {
    /// Lists blocks, one a line.
    Ls(Ls),
    /// Reads every byte of every block and checks it. Exit 3 if something is wrong.
    Verify(Verify),
}

/// Which bucket.
#[derive(Args, Debug)]
struct Which {
    #[command(flatten)]
    objstore: Objstore,
    /// Where `serve` keeps its data: its bucket is taken where none is configured.
    #[arg(long = "data-dir", default_value = "./dolmen-data", value_name = "DIR")]
    data_dir: PathBuf,
}

/// Flags of `tools bucket ls`.
#[derive(Args, Debug)]
pub struct Ls {
    #[command(flatten)]
    which: Which,
    /// How blocks are printed.
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Flags of `tools bucket verify`.
#[derive(Args, Debug)]
pub struct Verify {
    #[command(flatten)]
    which: Which,
    /// Blocks that are checked at once.
    #[arg(long, default_value_t = 4, value_name = "N")]
    concurrency: usize,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum Output {
    Table,
    Json,
}

/// Runs a tool.
pub fn run(tool: Bucket) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Exit::Failed(format!("start: {e}")))?;
    runtime.block_on(async {
        match tool {
            Bucket::Ls(flags) => ls(flags).await,
            Bucket::Verify(flags) => verify(flags).await,
        }
    })
}

/// The bucket, and what is in it. Nothing is written, not even a folder for a bucket that is not there.
async fn look(which: &Which) -> Result<(Arc<dyn ObjectStore>, Fetched), Exit> {
    let mut registry = Registry::default();
    let metrics = BucketMetrics::new(&mut registry);
    let bucket = match crate::role::bucket::config(&which.objstore)? {
        Some(yaml) => dolmen_bucket::open_existing(&yaml, &metrics)?,
        None => {
            let dir = which.data_dir.join("bucket");
            if !dir.is_dir() {
                let found = format!("none is configured, and {} is not there", dir.display());
                let expected = "--objstore.config-file, --objstore.config or --data-dir";
                return Err(Exit::config("bucket", found, expected));
            }
            dolmen_bucket::Bucket::filesystem(&dir, &metrics)?
        }
    };
    for text in bucket.warnings() {
        eprintln!("warning: {text}");
    }
    let store = bucket.store_for("tools");
    let fetcher = FetcherMetrics::new(&mut registry);
    let fetcher = Fetcher::new(store.clone(), FetcherSettings::default(), fetcher);
    let fetched = fetcher.fetch(&Ctx::unbounded()).await?;
    Ok((store, fetched))
}

/// A line of `ls`.
#[derive(Serialize)]
struct Line<'a> {
    ulid: String,
    mint: i64,
    maxt: i64,
    samples: u64,
    series: u64,
    level: u32,
    resolution: i64,
    source: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    bytes: u64,
}

impl<'a> Line<'a> {
    fn of(block: &'a BlockEntry) -> Line<'a> {
        let meta = &*block.meta;
        let labels = meta.thanos.iter().flat_map(|t| &t.labels).map(|(n, v)| (n.as_str(), v.as_str()));
        Line {
            ulid: meta.ulid.to_string(),
            mint: meta.min_time,
            maxt: meta.max_time,
            samples: meta.stats.num_samples,
            series: meta.stats.num_series,
            level: meta.compaction.level,
            resolution: meta.resolution(),
            source: meta.thanos.as_ref().map_or("", |t| t.source.as_str()),
            labels: labels.collect(),
            bytes: block.bytes(),
        }
    }

    fn columns(&self) -> [String; 10] {
        let labels: Vec<String> = self.labels.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
        [
            self.ulid.clone(),
            time(self.mint),
            time(self.maxt),
            self.samples.to_string(),
            self.series.to_string(),
            self.level.to_string(),
            self.resolution.to_string(),
            self.source.to_owned(),
            labels.join(","),
            self.bytes.to_string(),
        ]
    }
}

const HEAD: [&str; 10] =
    ["ulid", "mint", "maxt", "samples", "series", "level", "resolution", "source", "labels", "bytes"];

fn time(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms);
    time.map_or_else(|| ms.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

async fn ls(flags: Ls) -> Outcome {
    let (_, fetched) = look(&flags.which).await?;
    let mut blocks: Vec<&BlockEntry> = fetched.blocks.values().collect();
    blocks.sort_by_key(|b| (b.meta.min_time, b.meta.ulid));
    let lines = blocks.into_iter().map(Line::of);
    match flags.output {
        Output::Json => {
            for line in lines {
                let json = serde_json::to_string(&line).map_err(|e| Exit::Failed(e.to_string()))?;
                println!("{json}");
            }
        }
        Output::Table => {
            let head = HEAD.map(str::to_owned);
            let rows: Vec<[String; 10]> = std::iter::once(head).chain(lines.map(|l| l.columns())).collect();
            print_table(&rows);
        }
    }
    for (ulid, corrupt) in &fetched.corrupt {
        eprintln!("warning: {ulid}: {}", corrupt.why);
    }
    Ok(())
}

fn print_table(rows: &[[String; 10]]) {
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; 10] = std::array::from_fn(width);
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(c, w)| format!("{c:<w$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

async fn verify(flags: Verify) -> Outcome {
    let (store, fetched) = look(&flags.which).await?;
    let survey = verify_bucket(&Ctx::unbounded(), &store, &fetched, flags.concurrency, |found| {
        println!("{}", told(found))
    })
    .await?;
    let marked: Vec<&Ulid> =
        fetched.deletion_marks.keys().filter(|u| fetched.blocks.contains_key(u)).collect();
    if !marked.is_empty() {
        let samples: u64 = marked.iter().map(|u| fetched.blocks[u].meta.stats.num_samples).sum();
        println!("of these {} blocks with {samples} samples are marked for deletion", marked.len());
    }
    println!("{} blocks, {} samples, {} problems", survey.blocks, survey.samples, survey.problems);
    if survey.problems > 0 { Err(Exit::Findings) } else { Ok(()) }
}

fn told(found: Finding) -> String {
    match found {
        Finding::Problem { ulid, file, offset, what, advice } => {
            format!("{ulid}: {file} at offset {offset}: {what}; {advice}")
        }
        Finding::Unfinished { ulid, objects, newest } => {
            let newest = time(newest);
            format!(
                "{ulid}: unfinished, {objects} objects, the youngest of {newest}: no block, left to compaction"
            )
        }
    }
}
