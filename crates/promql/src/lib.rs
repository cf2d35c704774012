//! The PromQL engine: text in, value out.

mod answer;
mod engine;
mod lower;
mod result;
mod settings;

pub use engine::Engine;
pub use result::{QueryOpts, QueryResult, Sample, Series, Value, VectorSample};
pub use settings::{EngineSettings, Features};

pub use dolmen_promql_exec::error::{PromqlError, PromqlErrorKind};
