//! Plain files: a segmented write-ahead log and snapshot files.

pub mod fs;
