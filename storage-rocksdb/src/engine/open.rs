//! Opening: lock, judge, open, and only then believe.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use eraft_core::{Expected, GroupId, Identity, Result, StorageError, StorageErrorKind};
use eraft_storage_kit::generator;

use super::{group, room::Room, shared::Store, writer::Writer};
use crate::{
    database::Database,
    error, files, keys,
    options::{Family, RocksOptions},
    paths::{Paths, parent, parse_part},
    recovery::{identity, log, missed, seal},
    rows::{self, GroupState},
    snapshot::{
        held::{Dustbin, Held},
        registry::Registry,
    },
    values,
};

const DURING: &str = "opening a store";

/// Opens the store at `dir`: what its handles share, and its writer.
pub(crate) fn open(dir: &Path, expected: &Expected, options: RocksOptions) -> Result<(Arc<Store>, Writer)> {
    options.check()?;
    let paths = Paths::new(dir);
    check_directory(&paths)?;
    let lock = lock(&paths)?;
    check_inside(&paths)?;
    let identity = identity::read(&paths.identity)?;
    expected.check(&identity, &dir.display().to_string())?;
    seal::check(&paths)?;
    let judgement = log::judge(&paths.db)?;

    // Everything has been asked that can be without RocksDB; from here on things change. The store's own name may be in the
    // cache alone, where whoever created it was killed.
    let above = parent(&paths.dir);
    files::sync_dir(above).map_err(|source| error::io(DURING, above, source))?;
    seal::remove(&paths)?;
    judgement.cut()?;
    missed::put_back(&paths, &judgement.tables)?;
    for dir in [&paths.db, &paths.staging] {
        files::keep_private(dir).map_err(|source| error::io(DURING, dir, source))?;
    }
    let room = Room::new(paths.reserve.clone(), options.reserve_bytes, options.log_bytes());
    room.prepare(judgement.log_bytes)?;
    let database = Database::open(&paths.db, &options)?;
    if database.sequence() < judgement.last_sequence {
        let detail = format!(
            "RocksDB recovered up to change {}; its log holds {}",
            database.sequence(),
            judgement.last_sequence
        );
        return Err(error::corrupt(&paths.db, 0, detail));
    }
    let states = read_states(&paths, &database, identity)?;
    let mut random = generator(options.seed)?;
    if options.seed.is_some() {
        // Two openings under one seed must not draw the same names.
        random = fastrand::Rng::with_seed(random.u64(..) ^ database.sequence());
    }
    let dustbin = Arc::new(Dustbin::default());
    check_published(&paths, &database, &states)?;
    remove_orphans(&paths, &database, &states)?;
    // RocksDB has written what it recovered to tables; nothing is left to it to decide, and the names are durable too.
    database.flush()?;
    files::make_private(&paths.db).map_err(|source| error::io(DURING, &paths.db, source))?;
    files::sync_dir(&paths.db).map_err(|source| error::io(DURING, &paths.db, source))?;

    let groups = states.iter().map(|(id, state)| {
        let held = state.published.clone().map(|published| Held::new(published, &dustbin));
        (*id, Arc::new(group::found(*id, state, held, true)))
    });
    let (groups, staging) = (groups.collect(), Registry::new(random));
    let store = Arc::new(Store::new((paths, identity, options), database, room, dustbin, groups, staging));
    let writer = Writer::new(Arc::clone(&store), states, lock)?;
    Ok((store, writer))
}

/// Every group that the database tells of.
fn read_states(paths: &Paths, database: &Database, identity: Identity) -> Result<BTreeMap<GroupId, GroupState>> {
    let value = database.get(Family::State, &keys::IDENTITY)?;
    let value =
        value.ok_or_else(|| error::corrupt(&paths.db, 0, "it bears no identity, and the file beside it does"))?;
    match values::unseal::<Identity>(identity.store, &keys::IDENTITY, &value) {
        Ok(found) if found == identity => {}
        Err(error) if error.kind() == StorageErrorKind::Incompatible => return Err(error),
        Ok(_) | Err(_) => {
            return Err(error::corrupt(&paths.identity, 0, "the database beside it bears another identity"));
        }
    }
    let mut gathered = BTreeMap::new();
    let mut rows = database.iterate(Family::State, &[keys::MARK[0] + 1], &[u8::MAX])?;
    rows.seek_to_first();
    while let Some((key, value)) = rows.item() {
        rows::gather(identity.store, &mut gathered, key, value)?;
        rows.next();
    }
    rows.status().map_err(|found| error::opening(&paths.db, found))?;
    gathered.into_iter().map(|(id, rows)| Ok((id, rows.into_state(identity, id)?))).collect()
}

/// A snapshot that is published is there. Its tables came in by one edit of RocksDB's manifest, all or none of them, and one that
/// is lost to damage passes for one that was never whole: it was synced before the snapshot was published, and is not looked for
/// by anybody else.
fn check_published(paths: &Paths, database: &Database, states: &BTreeMap<GroupId, GroupState>) -> Result<()> {
    let published = states.iter().filter_map(|(group, state)| Some((group, state.published.as_ref()?)));
    for (group, published) in published.filter(|(_, published)| published.chunks > 0) {
        for nth in [0, published.chunks - 1] {
            if database.get(Family::Snapshot, &keys::chunk(published.id, nth))?.is_none() {
                let detail = format!(
                    "chunk {nth} of the {} of snapshot {:016x}, which group {group} has published, is missing",
                    published.chunks, published.id
                );
                return Err(error::corrupt(&paths.db, 0, detail));
            }
        }
    }
    Ok(())
}

/// Removes what an earlier opening has staged and not published, and what it had no time to remove; nothing that bears another
/// name than our own.
fn remove_orphans(paths: &Paths, database: &Database, states: &BTreeMap<GroupId, GroupState>) -> Result<()> {
    let io = |source| error::io(DURING, &paths.staging, source);
    for (_, path, _) in files::files(&paths.staging, |name| parse_part(name).is_some()).map_err(io)? {
        files::remove(&path).map_err(io)?;
    }
    let published: BTreeSet<u64> =
        states.values().filter_map(|state| state.published.as_ref().map(|published| published.id)).collect();
    let mut orphans = Vec::new();
    let mut chunks = database.iterate(Family::Snapshot, &keys::chunk(0, 0), &[u8::MAX; 17])?;
    chunks.seek_to_first();
    while let Some((id, _)) = chunks.key().and_then(keys::numbers) {
        if !published.contains(&id) {
            orphans.push(id);
        }
        let Some(next) = id.checked_add(1) else { break };
        chunks.seek(keys::chunk(next, 0));
    }
    chunks.status().map_err(|found| error::opening(&paths.db, found))?;
    drop(chunks);
    orphans.into_iter().try_for_each(|id| crate::snapshot::held::remove(database, id))
}

/// Whether this can be a store of ours, before anything in it is touched.
fn check_directory(paths: &Paths) -> Result<()> {
    match files::find(&paths.dir).map_err(|source| error::io(DURING, &paths.dir, source))? {
        Some(found) => check_found(&paths.dir, &found)?,
        None => return Err(error::not_initialised(DURING, &paths.dir)),
    }
    // Another backend's store is whole, and nothing of it is missing.
    let stands = |path: &Path| matches!(files::find(path), Ok(Some(_)));
    let ours = [&paths.db, &paths.identity].into_iter().any(|path| stands(path));
    if !ours && ["state", "snapshot"].iter().all(|name| stands(&paths.dir.join(name))) {
        let detail =
            "state/ and snapshot/ stand there, and neither db/ nor STORE: a store on plain files; open it by file://";
        return Err(error::incompatible(paths.dir.display(), detail));
    }
    Ok(())
}

/// The same of the directories in it, for whoever has the lock.
fn check_inside(paths: &Paths) -> Result<()> {
    for dir in [&paths.db, &paths.staging] {
        match files::find(dir).map_err(|source| error::io(DURING, dir, source))? {
            Some(found) => check_found(dir, &found)?,
            None => return Err(error::corrupt(dir, 0, "the directory is missing; a store always has it")),
        }
        // RocksDB would follow them.
        for name in files::names(dir).map_err(|source| error::io(DURING, dir, source))? {
            let path = dir.join(name);
            match files::find(&path).map_err(|source| error::io(DURING, &path, source))? {
                Some(found) if found.is_link => return refused(&path, "is a link, and links are not followed"),
                _ => {}
            }
        }
    }
    Ok(())
}

fn check_found(dir: &Path, found: &files::Found) -> Result<()> {
    if !found.is_dir {
        return refused(dir, "is no directory, or a link to one: name the directory itself");
    }
    if found.mode & 0o022 != 0 {
        let may = format!("has mode {:o}: others than its owner may write to it", found.mode);
        return refused(dir, &format!("{may}; check its files, then chmod go-w"));
    }
    Ok(())
}

fn refused(path: &Path, what: &str) -> Result<()> {
    Err(StorageError::new(StorageErrorKind::Io, DURING, format!("{} {what}", path.display())))
}

fn lock(paths: &Paths) -> Result<files::Lock> {
    match files::lock(&paths.lock) {
        Ok(lock) => Ok(lock),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let nothing = [&paths.db, &paths.identity].iter().all(|path| matches!(files::find(path), Ok(None)));
            if nothing {
                return Err(error::not_initialised(DURING, &paths.dir));
            }
            Err(error::corrupt(&paths.lock, 0, "the file is missing; a store always has one"))
        }
        Err(error) => Err(error::locked(&paths.dir, &paths.lock, error)),
    }
}
