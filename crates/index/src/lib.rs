//! Labels -> postings -> chunk refs: the Prometheus index file and the index-header.
