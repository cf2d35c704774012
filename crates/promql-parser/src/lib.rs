//! PromQL text -> tree -> text.
