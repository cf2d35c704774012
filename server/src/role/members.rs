//! Who is asked in a process: head, local blocks, bucket.

use std::sync::Arc;

use dolmen_gateway::Gateway;
use dolmen_receiver::Receiver;
use dolmen_storage::Queryable;

/// The parts of a process that hold data.
pub struct Members {
    /// Head and local blocks.
    pub receiver: Option<Arc<Receiver>>,
    /// Blocks in the bucket.
    pub gateway: Option<Arc<Gateway>>,
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
        all
    }
}
