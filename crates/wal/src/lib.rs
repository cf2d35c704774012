//! Prometheus' write-ahead log: records, segments, checkpoint, replay.
