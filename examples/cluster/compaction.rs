//! When a node's log is compacted by a snapshot: two flags, taken by the starter and by a node alone.

use eraft::Options;

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
}

impl Compaction {
    /// The options of a node that compacts its log like this.
    pub fn options(&self) -> Options {
        let Compaction { max_log_bytes, trailing_entries } = *self;
        Options { max_log_bytes, trailing_entries, ..Options::default() }
    }

    /// The flags that say the same to another process; none where nothing was changed.
    pub fn flags(&self) -> Vec<String> {
        let usual = Options::default();
        let flags = [
            ("--max-log-bytes", self.max_log_bytes, usual.max_log_bytes),
            ("--trailing-entries", self.trailing_entries, usual.trailing_entries),
        ];
        let changed = flags.into_iter().filter(|(_, value, usual)| value != usual);
        changed.flat_map(|(flag, value, _)| [flag.to_owned(), value.to_string()]).collect()
    }
}
