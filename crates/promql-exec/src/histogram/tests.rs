//! Checks of histogram arithmetic against values Prometheus gives, and of laws that hold for all histograms.

use super::*;
