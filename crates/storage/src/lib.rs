//! Traits only: who takes samples ([`Appender`]), who gives them ([`Queryable`]), and what passes between.

mod select;
pub use select::{FuncClass, Hints, LabelAsk, Order, Select, Values};

mod frame;
pub use frame::{Frame, Origin, Part, RawBatch, RawChunk, RawSeries, SERIES_PER_BATCH_MAX};

mod queryable;
pub use queryable::{FrameStream, Queryable};

mod append;
pub use append::{
    AppendReport, Appender, HistogramSample, KeyHasher, LabelBytes, Reject, RejectCause, WriteBatch,
    WriteSeries,
};
