//! Many Queryables as one: choose, ask, merge.
