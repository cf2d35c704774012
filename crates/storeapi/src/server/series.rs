//! `Series`: frames are made by a task of their own, so that a client that does not read cannot hold the call past
//! its deadline.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use dolmen_ctx::offload;
use dolmen_model::Completeness;
use dolmen_proto::thanos::{PartsAsk, SeriesEnd, SeriesRequest, SeriesResponse, series_response};
use dolmen_storage::{Frame, Hints, RawBatch, Select, Values};
use futures::{Stream, StreamExt};
use http::HeaderMap;
use prost::Message;
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::Status;

use super::Server;
use super::ask::{Ask, Common, limit};
use super::call::Call;
use super::codec::EncodedFrame;
use super::encode::{Encoder, Shape};
use super::metrics::Timer;
use super::shard::Shard;
use super::status::{aborted, missing, status, text};

/// Morsels that are made before the client takes them.
const AHEAD: usize = 2;

/// How often another Dolmen is told that work goes on, while there is nothing to send.
const ALIVE_EVERY: std::time::Duration = std::time::Duration::from_millis(250);

/// What a task gives.
enum Item {
    Frames(Vec<EncodedFrame>),
    /// The end. A task that ends without it has panicked.
    End(Result<(), Status>),
}

/// The frames of an answer.
pub(crate) struct Frames {
    items: mpsc::Receiver<Item>,
    now: std::vec::IntoIter<EncodedFrame>,
    ended: bool,
}

impl Stream for Frames {
    type Item = Result<EncodedFrame, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(frame) = this.now.next() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(this.items.poll_recv(cx)) {
                Some(Item::Frames(frames)) => this.now = frames.into_iter(),
                Some(Item::End(end)) => {
                    this.ended = true;
                    return Poll::Ready(end.err().map(Err));
                }
                None => {
                    this.ended = true;
                    let text = "the answer broke off; the log has its message";
                    return Poll::Ready(Some(Err(Status::internal(text))));
                }
            }
        }
    }
}

/// Answers `Series`.
pub(crate) async fn series(
    server: &Arc<Server>,
    request: tonic::Request<SeriesRequest>,
) -> Result<Frames, Status> {
    let timer = server.metrics.begin("Series");
    let (headers, _, r) = request.into_parts();
    let work = match Work::new(r) {
        Ok(work) => work,
        Err(e) => {
            let status = status(e);
            timer.answered(status.code());
            return Err(status);
        }
    };
    let (tx, items) = mpsc::channel(AHEAD);
    tokio::spawn(run(server.clone(), headers.into_headers(), work, tx, timer));
    Ok(Frames { items, now: Vec::new().into_iter(), ended: false })
}

async fn run(server: Arc<Server>, headers: HeaderMap, work: Work, tx: mpsc::Sender<Item>, timer: Timer) {
    let end = tokio::select! {
        end = answer(&server, &headers, work, &tx) => end,
        () = tx.closed() => Err(Status::cancelled("the client left")),
    };
    timer.answered(end.as_ref().map_or_else(Status::code, |()| tonic::Code::Ok));
    // Its place is free by now, whether the client reads the end or not.
    let _client_left = tx.send(Item::End(end)).await;
}

/// Waits for a turn, and answers.
async fn answer(
    server: &Server,
    headers: &HeaderMap,
    work: Work,
    tx: &mpsc::Sender<Item>,
) -> Result<(), Status> {
    let call = alive(tx, work.parts, Call::begin(server, headers)).await??;
    call.run(work.run(server, &call, tx)).await
}

/// Waits for work. A client that takes silence for the end, and understands it, is told that it goes on.
async fn alive<T>(tx: &mpsc::Sender<Item>, tell: bool, work: impl Future<Output = T>) -> Result<T, Status> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(ALIVE_EVERY, &mut work).await {
            Ok(done) => return Ok(done),
            Err(_) if tell => send(tx, vec![SeriesResponse::default().encode_to_vec().into()]).await?,
            Err(_) => {}
        }
    }
}

async fn send(tx: &mpsc::Sender<Item>, frames: Vec<EncodedFrame>) -> Result<(), Status> {
    if frames.is_empty() {
        return Ok(());
    }
    let sent = tx.send(Item::Frames(frames)).await;
    sent.map_err(|_| Status::cancelled("the client left"))
}

/// What is to be answered.
struct Work {
    select: Option<Select>,
    shape: Shape,
    parts: bool,
    abort: bool,
    warnings: Vec<String>,
}

impl Work {
    fn new(r: SeriesRequest) -> dolmen_model::Result<Work> {
        let without = match &r.parts {
            Some(PartsAsk { without }) => without,
            None => &r.without_replica_labels,
        };
        let common = Common {
            first: r.min_time,
            last: r.max_time,
            matchers: &r.matchers,
            without,
            hide_own: r.parts.is_none(),
            limit: r.limit,
            partial_response_disabled: r.partial_response_disabled,
            strategy: r.partial_response_strategy,
        };
        let Ask { mut select, abort, warnings } =
            Ask::new(&common, r.hints.as_ref(), "hintspb.SeriesRequestHints")?;
        let shard = Shard::new(r.shard_info);
        if let Some(select) = &mut select {
            select.values = if r.skip_chunks { Values::None } else { Values::Samples };
            // Of all series only some count.
            select.limit = select.limit.filter(|_| shard.is_none());
            if let Some(hints) = &r.query_hints {
                let window_ms = hints.range.as_ref().map_or(0, |r| r.millis);
                select.hints = Hints { step_ms: hints.step_millis, window_ms, ..Hints::default() };
            }
        }
        let shape = Shape {
            chunks: !r.skip_chunks,
            batch: match r.response_batch_size {
                0 | 1 => None,
                n => Some(usize::try_from(n).unwrap_or(usize::MAX)),
            },
            runs: r.parts.is_some() && !r.skip_chunks,
            shard,
            left: limit(r.limit).map_or(u64::MAX, std::num::NonZeroU64::get),
        };
        Ok(Work { select, shape, parts: r.parts.is_some(), abort, warnings })
    }

    async fn run(self, server: &Server, call: &Call, tx: &mpsc::Sender<Item>) -> Result<(), Status> {
        let mut sending = Sending { server, call, tx };
        let mut lacks = Completeness::complete();
        if let Some(select) = &self.select {
            let mut encoder = Encoder::new(self.shape);
            let asked = server.queryable.select(&call.ctx, select);
            let mut stream = alive(tx, self.parts, asked).await?.map_err(status)?;
            lacks = loop {
                match alive(tx, self.parts, stream.next()).await? {
                    Some(Ok(Frame::Batch(batch))) if !encoder.is_full() => {
                        encoder = sending.batch(encoder, batch).await?;
                    }
                    // Past the limit nothing is wanted but the end.
                    Some(Ok(Frame::Batch(_))) => {}
                    Some(Ok(Frame::End(lacks))) => break lacks,
                    Some(Err(e)) => return Err(status(e)),
                    None => return Err(Status::unavailable("a store's stream stopped without an end")),
                }
            };
            lacks.merge(encoder.lacks());
            encoder.flush();
            sending.frames(&mut encoder).await?;
        }
        if !lacks.is_complete() {
            server.metrics.incomplete.inc();
            if self.abort {
                return Err(aborted(&lacks));
            }
        }
        let mut last: Vec<EncodedFrame> = self.warnings.into_iter().map(warning).collect();
        if self.parts {
            last.push(end(&lacks));
        } else {
            last.extend(lacks.missing.iter().map(text).map(warning));
        }
        send(tx, last).await
    }
}

/// Where frames go.
struct Sending<'a> {
    server: &'a Server,
    call: &'a Call,
    tx: &'a mpsc::Sender<Item>,
}

impl Sending<'_> {
    /// Encodes a batch, morsel by morsel.
    async fn batch(&mut self, mut encoder: Encoder, batch: RawBatch) -> Result<Encoder, Status> {
        let batch = Arc::new(batch);
        let mut at = 0;
        while at < batch.series.len() {
            self.call.ctx.check().map_err(status)?;
            let shared = batch.clone();
            let morsel = move || {
                let at = encoder.encode(&shared, at);
                (encoder, at)
            };
            (encoder, at) = offload(&self.call.ctx.cpu, morsel).await.map_err(status)?;
            self.frames(&mut encoder).await?;
        }
        Ok(encoder)
    }

    /// Sends what is ready. Its memory is given back when the last of it is written.
    async fn frames(&mut self, encoder: &mut Encoder) -> Result<(), Status> {
        let mut morsel = encoder.take();
        let held = self.call.ctx.budget.reserve(morsel.bytes as u64).map_err(status)?;
        self.server.metrics.series.inc_by(morsel.series);
        self.server.metrics.bytes.inc_by(morsel.bytes as u64);
        if let Some(last) = morsel.frames.last_mut() {
            last.held = Some(held);
        }
        send(self.tx, morsel.frames).await
    }
}

fn warning(text: String) -> EncodedFrame {
    let result = Some(series_response::Result::Warning(text));
    SeriesResponse { result, end: None }.encode_to_vec().into()
}

fn end(lacks: &Completeness) -> EncodedFrame {
    let end = Some(SeriesEnd { missing: lacks.missing.iter().map(missing).collect() });
    SeriesResponse { result: None, end }.encode_to_vec().into()
}
