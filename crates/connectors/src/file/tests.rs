//! The source as its task drives it, without a cluster.

mod reading;
