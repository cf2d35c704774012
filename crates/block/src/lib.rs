//! A ULID directory: meta.json, marks, chunk segments, tombstones, writer.
