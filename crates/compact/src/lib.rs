//! Which blocks become which: group, plan, merge, clean.
