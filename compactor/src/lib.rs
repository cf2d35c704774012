//! The compact role: sync, plan, run, sleep.
