//! The client: one store in another process, whatever it is.
//!
//! Nothing of what comes is trusted. A frame's memory is taken from the query's budget as its bytes arrive; it is
//! read in place; every series is checked before it is passed on. What is wrong with a store is an error of that
//! store, [`Kind::Retry`], [`Kind::Refused`] or [`Kind::Corrupt`], whose text says what was wrong; what came before
//! stays valid.

mod address;
mod ask;
mod call;
mod check;
mod collect;
mod emit;
pub mod frame;
mod info;
mod meter;
mod parts;
mod select;
mod strings;
mod text;
mod wait;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use dolmen_ctx::{Budget, Ctx};
use dolmen_model::{Answer, Result};
use dolmen_proto::thanos::info::InfoRequest;
use dolmen_storage::{FrameStream, LabelAsk, Origin, Select};
use smol_str::SmolStr;
use tonic::transport::Channel;

use crate::StoreFacts;
use call::Method;
use wait::Wait;

#[cfg(doc)]
use dolmen_model::Kind;

/// Bytes of an answer to `Info`.
const INFO_BYTES_MAX: usize = 4 << 20;

/// How a store is asked.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// For a connection and a first frame together, and for every further frame.
    pub response_timeout: Duration,
    /// Bytes of one frame.
    pub max_frame_bytes: usize,
    /// Bytes of the answer to one select: as they come, and in memory. Well below what queries may take, so that a
    /// store without end fails alone.
    pub max_answer_bytes: u64,
    /// Whether requests are compressed, so that answers are.
    pub snappy: bool,
    /// This process: stores learn that a call came through it. Empty: they do not.
    pub instance: SmolStr,
    /// The label that names a store's datacenter: series of another one are foreign.
    pub site_label: SmolStr,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings {
            response_timeout: Duration::from_secs(3),
            max_frame_bytes: 64 << 20,
            max_answer_bytes: 256 << 20,
            snappy: false,
            instance: SmolStr::default(),
            site_label: SmolStr::new_static("site"),
        }
    }
}

/// Asks one store. Cheap to clone: clones share a connection, which is made when the first call needs it.
#[derive(Clone, Debug)]
pub struct StoreClient {
    channel: Channel,
    settings: Arc<ClientSettings>,
}

impl StoreClient {
    /// Of a store at `host:port`, within a tokio runtime; nothing is connected yet.
    pub fn new(address: &str, settings: ClientSettings) -> Result<StoreClient> {
        let channel = address::endpoint(address, &settings)?.connect_lazy();
        Ok(StoreClient { channel, settings: Arc::new(settings) })
    }

    /// Whether a call that came through these processes came through that store already, or is its own.
    pub fn is_behind(&self, ctx: &Ctx, facts: &StoreFacts) -> bool {
        let id = &facts.instance;
        !id.is_empty() && (*id == self.settings.instance || ctx.via.contains(id))
    }

    /// What the store says of itself.
    pub async fn info(&self) -> Result<StoreFacts> {
        let budget = Budget::new("info", 8 * INFO_BYTES_MAX as u64);
        let ctx = Ctx { budget, ..Ctx::unbounded() };
        let mut wait = Wait::new(&ctx, self.settings.response_timeout);
        let frame_bytes = INFO_BYTES_MAX;
        let limits =
            call::Limits { frame_bytes, answer_bytes: 2 * frame_bytes as u64, snappy: self.settings.snappy };
        let mut call = self.call(&ctx, Method::Info, limits, InfoRequest {}, &mut wait).await?;
        info::read(&call.only(&mut wait).await?.bytes)
    }

    /// The series that match, as [`dolmen_storage::Queryable::select`] gives them. `facts` is what the store said
    /// last of itself; `origin` names it.
    pub async fn select(
        &self,
        ctx: &Ctx,
        select: &Select,
        facts: &StoreFacts,
        origin: &Arc<Origin>,
    ) -> Result<FrameStream> {
        let mut wait = self.wait(ctx, facts, true);
        let request = ask::series(select, facts);
        let call = self.call(ctx, Method::Series, self.limits(), request, &mut wait).await?;
        select::stream(&self.settings, ctx, select, facts, origin, call, wait)
    }

    /// Label names, or the values of a label, as [`dolmen_storage::Queryable::labels`] gives them.
    pub async fn labels(
        &self,
        ctx: &Ctx,
        select: &Select,
        ask: LabelAsk,
        facts: &StoreFacts,
        origin: &Arc<Origin>,
    ) -> Result<Answer<Vec<SmolStr>>> {
        let mut wait = self.wait(ctx, facts, false);
        let mut call = match &ask {
            LabelAsk::Values(name) if select.without.contains(name) => return Ok(Answer::default()),
            LabelAsk::Values(name) => {
                let request = ask::values(name, select, facts);
                self.call(ctx, Method::LabelValues, self.limits(), request, &mut wait).await?
            }
            LabelAsk::Names => {
                let request = ask::names(select, facts);
                self.call(ctx, Method::LabelNames, self.limits(), request, &mut wait).await?
            }
        };
        let message = call.only(&mut wait).await?;
        strings::read(ctx, select, &ask, facts, origin, &message.bytes)
    }

    fn wait(&self, ctx: &Ctx, facts: &StoreFacts, streams: bool) -> Wait {
        let wait = Wait::new(ctx, self.settings.response_timeout);
        if facts.component == "query" { wait.for_asker(streams && facts.parts) } else { wait }
    }

    fn limits(&self) -> call::Limits {
        call::Limits {
            frame_bytes: self.settings.max_frame_bytes,
            answer_bytes: self.settings.max_answer_bytes,
            snappy: self.settings.snappy,
        }
    }

    async fn call<M: prost::Message + 'static>(
        &self,
        ctx: &Ctx,
        method: Method,
        limits: call::Limits,
        message: M,
        wait: &mut Wait,
    ) -> Result<call::Call> {
        // Who sent us here, and we ourselves.
        let via = ctx.via.iter().chain([&self.settings.instance]).filter(|id| !id.is_empty());
        let via = via.map(SmolStr::as_str).collect::<Vec<_>>().join(",");
        call::start(self.channel.clone(), ctx, method, limits, message, &via, wait).await
    }
}
