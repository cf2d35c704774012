//! The newest samples: in memory, durable, readable at once.
