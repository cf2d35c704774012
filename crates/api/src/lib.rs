//! The Prometheus HTTP API over the engine; JSON lives here.
