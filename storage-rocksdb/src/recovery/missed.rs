//! Tables that RocksDB misses, put back.
//!
//! Where the sync of the manifest fails while a snapshot's tables are taken in, RocksDB removes them again, though the edit that
//! names them may be read back: pages whose sync has failed are in the cache, and may have reached the disk. RocksDB
//! would refuse to open for want of a table that nothing acknowledged is in. But the stage's own name of each table
//! is still there (`snapshot::stage`), so a table that is named, live and missing gets it as its own. Which one it is, its first
//! chunk tells: no two tables ever share an id and a chunk.
//!
//! What else is missing stays missing, and is damage.

use std::collections::BTreeMap;

use eraft_core::Result;

use super::tables::{Table, Tables};
use crate::{
    error, files,
    paths::{Paths, parse_part},
    snapshot::stage::first_chunk,
};

/// Puts back what `tables` names and only staging has.
pub(crate) fn put_back(paths: &Paths, tables: &Tables) -> Result<()> {
    let failed = |source| error::io("putting back a table", &paths.staging, source);
    let named: BTreeMap<(u64, u64), &Table> = tables.live().map(|table| (table.first, table)).collect();
    let mut any = false;
    for (name, part, found) in files::files(&paths.staging, |name| parse_part(name).is_some()).map_err(failed)? {
        let table = parse_part(&name).and_then(|(id, nth)| named.get(&(id, first_chunk(nth))));
        let Some(table) = table.filter(|table| table.size_bytes == found.len_bytes) else { continue };
        let missed = paths.table(table.number);
        if files::find(&missed).map_err(failed)?.is_none() {
            tracing::warn!(table = %missed.display(), part = %part.display(), "a table that RocksDB misses is put back");
            files::rename(&part, &missed).map_err(failed)?;
            any = true;
        }
    }
    if any {
        for dir in [&paths.db, &paths.staging] {
            files::sync_dir(dir).map_err(|source| error::io("putting back a table", dir, source))?;
        }
    }
    Ok(())
}
