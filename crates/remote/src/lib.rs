//! Remote write -> Appender.
