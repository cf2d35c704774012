//! Runner of Prometheus' PromQL test scripts.
