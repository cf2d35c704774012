//! Traits only: Appender, Queryable, Select, Frame.
