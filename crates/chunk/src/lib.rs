//! Samples <-> chunk bytes: XOR, histogram, float histogram.
