//! `dolmen compact`: one run over the bucket, or one after the other.

use axum::Router;
use dolmen_bucket::BucketMetrics;
use dolmen_compactor::RunReport;
use dolmen_fetcher::FetcherMetrics;

use super::stage::Stage;
use super::{bucket, compaction, stage};
use crate::exit::{Exit, Outcome};
use crate::flags;

/// Runs the role.
pub fn run(flags: flags::Compact) -> Outcome {
    let log = flags.listen.log.clone();
    stage::run(&log, || compact(flags))
}

async fn compact(flags: flags::Compact) -> Outcome {
    // One run beside another role of this machine needs no port of its own.
    let stage = match flags.wait {
        true => Stage::set_without_grpc("compact", &flags.listen).await?,
        false => Stage::without_socket("compact", &flags.listen)?,
    };
    let settings = compaction::settings(&flags.data_dir, &flags.compaction)?;
    let bucket = bucket::required(&flags.objstore, &stage.metrics.register(BucketMetrics::new))?;
    let _lock = stage::lock(&flags.data_dir)?;
    let fetcher = stage.metrics.register(FetcherMetrics::new);
    let compactor = compaction::open(&stage, &bucket, &settings, fetcher)?;
    if !flags.wait {
        return match compactor.run_once(&stage.shutdown).await {
            Ok(report) => whole(&report),
            // Asked to end: what is left, the next run takes up.
            Err(_) if stage.shutdown.is_triggered() => Ok(()),
            Err(e) => Err(e.into()),
        };
    }
    let work = tokio::spawn(compactor.run(stage.shutdown.clone()));
    stage.play(Router::new(), Router::new(), &flags.data_dir.display().to_string(), None).await?;
    stage::join(work).await
}

/// What concerns one group was passed over; the run as a whole has failed in part.
fn whole(report: &RunReport) -> Outcome {
    match report.failures.as_slice() {
        [] => Ok(()),
        [first, rest @ ..] => Err(Exit::Failed(match rest.len() {
            0 => first.to_string(),
            n => format!("{first}; and {n} more, see the log"),
        })),
    }
}
