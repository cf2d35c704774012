//! Who is asked in a process: head, local blocks, bucket; and stores in other processes.

use std::sync::Arc;

use dolmen_gateway::Gateway;
use dolmen_querier::Querier;
use dolmen_receiver::Receiver;
use dolmen_storage::Queryable;

/// The parts of a process that hold data.
#[derive(Clone, Default)]
pub struct Members {
    /// Head and local blocks.
    pub receiver: Option<Arc<Receiver>>,
    /// Blocks in the bucket.
    pub gateway: Option<Arc<Gateway>>,
    /// Blocks in directories that somebody else looks after.
    pub blocks: Vec<Arc<dyn Queryable>>,
}

impl dolmen_fanout::Members for Members {
    fn members(&self) -> Vec<Arc<dyn Queryable>> {
        // The way of the data: what leaves one is in the next by then.
        let mut all = Vec::new();
        if let Some(receiver) = &self.receiver {
            all.extend(receiver.queryables());
        }
        if let Some(gateway) = &self.gateway {
            all.extend(gateway.queryables());
        }
        all.extend(self.blocks.iter().cloned());
        all
    }
}

/// What is here, and what is elsewhere.
#[derive(Clone)]
pub struct Everywhere {
    /// What is here.
    pub here: Members,
    /// What is elsewhere.
    pub elsewhere: Option<Arc<Querier>>,
}

impl dolmen_fanout::Members for Everywhere {
    fn members(&self) -> Vec<Arc<dyn Queryable>> {
        let mut all = self.here.members();
        all.extend(self.elsewhere.iter().flat_map(|q| q.queryables()));
        all
    }
}
