//! When a node's log is compacted by a snapshot, and how fast snapshots leave for other nodes: flags, taken by the starter
//! and by a node alone.

use eraft::{Options, grpc::GrpcOptions};

/// A log that may not grow at all is refused where it is typed, not by each of three nodes.
fn at_least_one() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

/// What keeps a log short.
#[derive(Clone, Debug, clap::Args)]
pub struct Compaction {
    /// Bytes by which the log may grow after a snapshot before the next one is taken.
    #[arg(long, value_name = "BYTES", default_value_t = Options::default().max_log_bytes, value_parser = at_least_one())]
    max_log_bytes: u64,
    /// Entries that a snapshot holds and that stay in the log all the same, for nodes that lag a little.
    #[arg(long, value_name = "ENTRIES", default_value_t = Options::default().trailing_entries)]
    trailing_entries: u64,
    /// Bytes of snapshots that may leave in a second, to all nodes together; without it, as many as go.
    #[arg(long, value_name = "BYTES")]
    snapshot_bytes_per_second: Option<u64>,
}

impl Compaction {
    /// The options of a node that compacts its log like this.
    pub fn options(&self) -> Options {
        let Compaction { max_log_bytes, trailing_entries, .. } = *self;
        Options { max_log_bytes, trailing_entries, ..Options::default() }
    }

    /// `options` with the bound on what leaves.
    pub fn throttled(&self, options: GrpcOptions) -> GrpcOptions {
        GrpcOptions { snapshot_bytes_per_second: self.snapshot_bytes_per_second, ..options }
    }

    /// The flags that say the same to another process; none where nothing was changed.
    pub fn flags(&self) -> Vec<String> {
        let usual = Options::default();
        let flags = [
            ("--max-log-bytes", Some(self.max_log_bytes).filter(|bytes| *bytes != usual.max_log_bytes)),
            ("--trailing-entries", Some(self.trailing_entries).filter(|entries| *entries != usual.trailing_entries)),
            ("--snapshot-bytes-per-second", self.snapshot_bytes_per_second),
        ];
        let changed = flags.into_iter().filter_map(|(flag, value)| Some((flag, value?)));
        changed.flat_map(|(flag, value)| [flag.to_owned(), value.to_string()]).collect()
    }
}
