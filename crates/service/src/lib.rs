//! Listeners, probes, shutdown, logs, metrics: what every role shares.
