//! What must hold at one point: of the error, of the engine after it, and of the store that is opened again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use eraft_core::{GroupId, StorageErrorKind};
use futures_executor::block_on;

use super::{
    Backend, Disk, Fault, Plan, Point,
    life::{self, Failure, Life, Opened},
    report::Met,
};
use crate::{
    CLUSTER, Crash, Model, NODE,
    crash_states::{history::History, steps},
};

/// How many saves of each group are acknowledged on the healed disk.
const MORE_SAVES: usize = 2;

/// Runs a life that meets the fault, and what comes after it.
///
/// # Errors
/// What was promised and does not hold.
pub(super) fn check<B: Backend>(backend: &B, plan: &Plan, point: Point) -> Result<Met, String> {
    catch_unwind(AssertUnwindSafe(|| go_through(backend, plan, point))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", text.unwrap_or("without a message")))
    })
}

fn go_through<B: Backend>(backend: &B, plan: &Plan, point: Point) -> Result<Met, String> {
    let disk = backend.disk(plan.seed ^ point.nth);
    disk.fail_nth(point.call, point.nth, point.fault);
    let life = life::live(backend, &disk, plan);
    let count = |(call, count): (&str, u64)| if call == point.call { count } else { 0 };
    if disk.calls().into_iter().map(count).sum::<u64>() < point.nth {
        return Ok(Met::Never);
    }
    let told = life.failure.as_ref().map(|failure| tell(backend, point, failure));
    told.transpose()?;
    let sync = point.call.starts_with("sync");
    if sync && life.failure.is_none() && !backend.keeps_quiet(point.call) {
        return Err("a sync has failed, and nobody was told".to_owned());
    }
    disk.heal();
    disk.crash(point.crash);
    afterwards(backend, plan, &disk, &life, point)?;
    Ok(if life.failure.is_some() { Met::Told } else { Met::Borne })
}

/// The error is the fault's, and a failed save is the last one.
fn tell<B: Backend>(backend: &B, point: Point, failure: &Failure) -> Result<(), String> {
    let Failure { what, error, next_save } = failure;
    let (kind, sync) = (error.kind(), point.call.starts_with("sync"));
    if point.fault == Fault::Short || (point.fault == Fault::Interrupted && !sync) {
        return Err(format!("{what} was to be completed, and failed: {error}"));
    }
    if !backend.is_right(point.fault, kind) {
        return Err(format!("{what} failed with {kind:?}: {error}"));
    }
    if error.during().is_empty() || !backend.names_where(error) {
        return Err(format!("{what} failed, and does not say where: {error}"));
    }
    match next_save {
        Some(Ok(())) if *what == "save" => Err("a save failed, and the next one succeeded".to_owned()),
        Some(Err(later)) if *what == "save" => {
            let names_the_first = later.to_string().contains(error.detail());
            match later.kind() == StorageErrorKind::Poisoned && names_the_first {
                true => Ok(()),
                false => Err(format!("after a save failed ({error}) the next one does not say so: {later}")),
            }
        }
        // What ended something else may have ended the engine, which then tells by its first save.
        Some(_) | None => Ok(()),
    }
}

/// On the healed disk: all that was acknowledged is there, stays there, and the store goes on.
fn afterwards<B: Backend>(backend: &B, plan: &Plan, disk: &B::Disk, life: &Life, point: Point) -> Result<(), String> {
    let opened = reopen(backend, disk, plan, life).map_err(|why| format!("opened afterwards: {why}"))?;
    let shown = shown(&opened, plan, life).map_err(|why| format!("opened afterwards: {why}"))?;
    drop(opened);
    // What was shown is durable, also what only the page cache held.
    disk.crash(Crash::PowerLoss);
    let again = |why| format!("opened after {:?} and then after a power cut: {why}", point.crash);
    let opened = life::open(backend, disk, &plan.groups, 2).map_err(|error| again(error.to_string()))?;
    expect(&opened, &shown).map_err(again)?;

    let history = more(&opened, shown, plan).map_err(|why| format!("going on afterwards: {why}"))?;
    block_on(opened.engine.close()).map_err(|error| format!("closing afterwards: {error}"))?;
    drop(opened);
    disk.crash(Crash::PowerLoss);
    let opened = life::open(backend, disk, &plan.groups, 3).map_err(|error| format!("opened at the end: {error}"))?;
    expect(&opened, &history).map_err(|why| format!("opened at the end: {why}"))
}

/// Opens what is left. A store whose creation failed may not be there; then it can be created.
fn reopen<B: Backend>(backend: &B, disk: &B::Disk, plan: &Plan, life: &Life) -> Result<Opened, String> {
    match life::open(backend, disk, &plan.groups, 1) {
        Err(error) if error.kind() == StorageErrorKind::NotInitialised && life.history.is_none() => {
            backend.create(disk, CLUSTER, NODE, 1).map_err(|error| format!("creating what is not there: {error}"))?;
            life::open(backend, disk, &plan.groups, 1).map_err(|error| error.to_string())
        }
        opened => opened.map_err(|error| error.to_string()),
    }
}

/// What it shows, which is the state after a save between the newest acknowledged and the newest handed in.
fn shown(opened: &Opened, plan: &Plan, life: &Life) -> Result<History, String> {
    let identity = opened.groups[&plan.groups[0]].1.state.identity;
    let blank = History::blank(identity, &plan.groups);
    let expected = life.history.as_ref().unwrap_or(&blank);
    let mut shown = History::blank(identity, &[]);
    for (group, (_, model)) in &opened.groups {
        let least = life.acknowledged.get(group).copied().unwrap_or_default();
        expected.place(*group, model, (least, expected.groups[group].len() - 1))?;
        shown.groups.insert(*group, vec![model.clone()]);
    }
    Ok(shown)
}

fn expect(opened: &Opened, history: &History) -> Result<(), String> {
    let differs = |(group, (_, model)): (&GroupId, &(_, Model))| {
        history.newest(*group).difference(model).map(|difference| format!("group {group}: {difference}"))
    };
    opened.groups.iter().find_map(differs).map_or(Ok(()), Err)
}

fn more(opened: &Opened, mut history: History, plan: &Plan) -> Result<History, String> {
    let mut random = fastrand::Rng::with_seed(plan.seed);
    for (group, (handle, _)) in &opened.groups {
        for _ in 0..MORE_SAVES {
            let step = steps::any(&mut random, history.newest(*group));
            let told = |error: eraft_core::StorageError| format!("{}: {error}", step.kind);
            let after = step.after(history.newest(*group)).expect("a life's own saves are valid");
            let saved = match &step.publish {
                None => block_on(handle.save_raft_state(step.update.clone())),
                Some((meta, chunks)) => {
                    let staged = block_on(crate::make::stage(handle, meta.clone(), chunks)).map_err(told)?;
                    block_on(handle.save_state_and_snapshot(step.update.clone(), staged))
                }
            };
            saved.map_err(told)?;
            history.groups.get_mut(group).expect("a life's own group").push(after);
        }
    }
    Ok(history)
}
