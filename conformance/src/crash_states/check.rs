//! What every state must stand: it opens, holds all that was acknowledged, shows nothing that was never saved and nothing
//! that was taken back; and so again after more was acknowledged and the power was cut once more.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use eraft_core::{GroupId, StorageErrorKind};
use fastrand::Rng;

use super::{
    Backend, Category, Disk, Image,
    category::Moment,
    choice::{Choice, Rest},
    driver::{self, Driver},
    history::{Bounds, History},
    journal::{Journal, Mark, Operation, OperationId},
    states::{Cursor, State},
    steps,
    workload::Recording,
};
use crate::{CLUSTER, Engine, Handle, NODE};

/// How many saves are acknowledged after a crash.
const MORE_SAVES: usize = 2;

/// A store that was opened after a crash, and what it shows.
struct Reopened {
    engine: Box<dyn Engine>,
    handles: BTreeMap<GroupId, Handle>,
    history: History,
}

/// A disk after a crash, and what its store must show.
struct Left<'a> {
    disk: Disk,
    history: &'a History,
    bounds: &'a Bounds,
}

/// Puts one state to the test.
///
/// # Errors
/// What was promised and does not hold.
pub(super) fn check(backend: &dyn Backend, recording: &Recording, state: &State) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| go_through(backend, recording, state))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", text.unwrap_or("without a message")))
    })
}

fn go_through(backend: &dyn Backend, recording: &Recording, state: &State) -> Result<(), String> {
    let mut random = Rng::with_seed(state.seed);
    let first = recording.journal.first + recording.journal.operations.len() as OperationId;
    let disk = Disk::of(state.image.clone(), first, recording.next_inode);
    let left = Left { disk: disk.clone(), history: &recording.history, bounds: &state.bounds };
    let reopened = left.reopen(backend, random.u64(..)).map_err(|why| format!("opened after the crash: {why}"))?;

    let (mut bounds, shown) = (Bounds { created: true, ..Bounds::default() }, reopened.history.clone());
    let Reopened { engine, handles, history } = reopened;
    let mut second = Driver::new(backend, disk, engine, handles, history);
    more(&mut second, &mut random).map_err(|why| format!("going on after the crash: {why}"))?;
    let (journal, image) = second.disk.look();
    let next_inode = second.disk.next_inode();
    let _what_the_process_would_still_do = second.disk.kill();
    let Driver { history, .. } = second;

    journal.operations.iter().for_each(|operation| bounds.see(operation));
    let again = |image: Image, position: usize, history: &History, bounds: &Bounds, seed: u64| {
        let disk = Disk::of(image, journal.first + position as OperationId, next_inode);
        Left { disk, history, bounds }.reopen(backend, seed).map(drop)
    };
    let end = journal.operations.len();
    let lost = image.crash(&mut Choice::of(Rest::Lost, 0));
    again(lost, end, &history, &bounds, random.u64(..))
        .map_err(|why| format!("opened after more was acknowledged and the power cut: {why}{}", tell(&journal, end)))?;

    let (cursor, image) = some_crash(&journal, &state.image, &mut random);
    // Before the first opening was done, all is still as the first crash left it.
    let (history, bounds) = match cursor.bounds.opened {
        true => (&history, Bounds { created: true, ..cursor.bounds.clone() }),
        false if shown.identity == recording.history.identity => (&recording.history, state.bounds.clone()),
        false => (&shown, Bounds { created: cursor.bounds.created, ..Bounds::default() }),
    };
    again(image, cursor.position, history, &bounds, random.u64(..))
        .map_err(|why| format!("opened after a second crash: {why}{}", tell(&journal, cursor.position)))
}

/// Some saves, acknowledged, in whatever group.
fn more(driver: &mut Driver<'_>, random: &mut Rng) -> Result<(), String> {
    let groups: Vec<GroupId> = driver.history.groups.keys().copied().collect();
    for _ in 0..MORE_SAVES {
        let group = groups[random.usize(..groups.len())];
        let step = steps::any(random, driver.history.newest(group));
        driver.save(group, &step).map_err(|error| format!("{}: {error}", step.kind))?;
    }
    Ok(())
}

/// A crash of any kind at any moment of a journal that began with `image`.
fn some_crash<'a>(journal: &'a Journal, image: &Image, random: &mut Rng) -> (Cursor<'a>, Image) {
    let opened = journal.operations.iter().position(|operation| *operation == Operation::Mark(Mark::Opened));
    let position = match opened {
        // Just opened: what it showed is all that is promised.
        Some(opened) if random.u8(..4) == 0 => opened + 1,
        _ => random.usize(..=journal.operations.len()),
    };
    let cursor = Cursor::new(journal, image.clone(), Bounds::default()).go_to(position);
    let moment = Moment::of(&cursor.image, cursor.next());
    let offered: Vec<(Category, u64)> =
        Category::ALL.into_iter().map(|category| (category, category.candidates(&moment))).collect();
    let possible: Vec<(Category, u64)> = offered.into_iter().filter(|(_, count)| *count > 0).collect();
    let (category, count) = possible[random.usize(..possible.len())];
    let left = match category.choice(&moment, random.u64(..count), random.u64(..)) {
        None => cursor.image.clone(),
        Some(mut choice) => cursor.image.crash(&mut choice),
    };
    (cursor, left)
}

fn tell(journal: &Journal, position: usize) -> String {
    format!("\n  what the second process did:\n{}", journal.around(position))
}

impl Left<'_> {
    /// Opens the store: it must show, of each group, the state after a save that the bounds allow. A store whose creation
    /// was not acknowledged may not be there yet; then it is created now.
    fn reopen(self, backend: &dyn Backend, seed: u64) -> Result<Reopened, String> {
        let Left { disk, history, bounds } = self;
        let groups: Vec<GroupId> = history.groups.keys().copied().collect();
        let mut blank = None;
        let open = || backend.open_alone(&disk, driver::expected(), seed);
        let opened = match open() {
            Err(error) if error.kind() == StorageErrorKind::NotInitialised && !bounds.created => {
                let created = backend.create(&disk, CLUSTER, NODE, seed);
                disk.mark(Mark::Created);
                let identity = created.map_err(|error| format!("creating what was not there: {error}"))?;
                blank = Some(History::blank(identity, &groups));
                open()
            }
            opened => opened,
        };
        let opened = opened.and_then(|engine| driver::read(engine, &groups));
        let driver::Found { engine, groups: found, listed } =
            opened.map_err(|error| format!("it does not open: {error}"))?;
        let expected = blank.as_ref().unwrap_or(history);
        let mut reopened =
            Reopened { engine, handles: BTreeMap::new(), history: History::blank(expected.identity, &[]) };
        for (group, (handle, model)) in found {
            let save = expected.place(group, &model, bounds.of(group))?;
            let blank = expected.groups[&group][0].difference(&model).is_none();
            if !blank && !listed.contains(&group) {
                return Err(format!("group {group} shows the state after save {save}, and is not listed: {listed:?}"));
            }
            reopened.handles.insert(group, handle);
            reopened.history.groups.insert(group, vec![model]);
        }
        match listed.iter().find(|group| !groups.contains(group)) {
            Some(stranger) => Err(format!("group {stranger} is listed, and nothing was ever saved of it")),
            None => Ok(reopened),
        }
    }
}
