//! The words: labels, matchers, samples, histograms, time ranges, columns.
