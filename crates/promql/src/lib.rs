//! The PromQL engine: text in, value out.

mod result;
pub use result::{QueryOpts, QueryResult, Sample, Series, Value, VectorSample};

pub use dolmen_promql_exec::error::{PromqlError, PromqlErrorKind};
