//! The bytes of a block from mmap or a bucket, and the block reader over them.
