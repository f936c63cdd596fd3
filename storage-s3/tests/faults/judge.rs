//! What must hold of a life with faults, while they last and once they are gone.

use std::collections::BTreeMap;

use eraft_core::{Storage as _, StorageError, StorageErrorKind};
use object_store::{ObjectStoreExt as _, path::Path};

use crate::{
    bucket::{Call, Fault, Operation},
    life::{LARGE, Life, Step, Store, World, settle},
};

/// What came of a life, for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Nobody noticed.
    Borne,
    /// A step ended with an error that says so.
    Told,
    /// No request met a fault: it says nothing.
    Void,
}

/// Judges a life that met these faults.
///
/// # Errors
/// What was promised and does not hold.
pub(crate) async fn judge(world: &World, life: &Life) -> Result<Outcome, String> {
    settle().await;
    let calls = world.bucket.faults().calls();
    let met: Vec<&Call> = calls.iter().filter(|call| call.fault.is_some()).collect();
    for step in &life.steps {
        check_error(step, &calls)?;
    }
    let told = life.steps.iter().any(|step| step.outcome.is_err());
    // A fault or two that pass are no reason to give up; an outage is.
    if told && met.len() <= 2 && met.iter().all(|call| call.fault.is_some_and(|fault| fault.passes_for(call.operation)))
    {
        return Err(format!("what passes was not ridden out: {}", first_error(life)));
    }
    not_repeated(life, &calls)?;
    nothing_leaks(world, life, &calls).await?;
    goes_on(world, life).await?;
    Ok(if told { Outcome::Told } else { Outcome::Borne })
}

fn first_error(life: &Life) -> String {
    let told = life.steps.iter().find_map(|step| Some((step.name, step.outcome.as_ref().err()?)));
    told.map(|(name, error)| format!("{name}: {error}")).unwrap_or_default()
}

/// An error is of a kind that says what to do, names the object, and is told by the step that met the fault.
fn check_error(step: &Step, calls: &[Call]) -> Result<(), String> {
    let Err(error) = &step.outcome else { return Ok(()) };
    let wrong = |what: &str| Err(format!("{} {what}: {error}", step.name));
    let reads = step.name.starts_with("read");
    match error.kind() {
        StorageErrorKind::Unavailable => {}
        StorageErrorKind::Corrupt if reads && changed(&calls[step.from..]) => {}
        _ => return wrong("failed as something else than the bucket's fault"),
    }
    if !calls[step.from..].iter().any(|call| call.fault.is_some() && error.detail().contains(call.path.as_ref())) {
        return wrong("does not name the object whose request failed");
    }
    if !says_what_to_do(error) {
        return wrong("does not say what to do");
    }
    Ok(())
}

/// Whether bytes came otherwise than they were stored: a node ends by damage, and so nothing else may look like it.
fn changed(calls: &[Call]) -> bool {
    calls.iter().any(|call| matches!(call.fault, Some(Fault::Flip | Fault::Short)))
}

fn says_what_to_do(error: &StorageError) -> bool {
    ["try again", "mend ", "wipe ", "put it back", "stage it anew"].iter().any(|word| error.detail().contains(word))
}

/// What cannot pass is not asked again, but by a later step, or by a later collection, which begins with a listing.
fn not_repeated(life: &Life, calls: &[Call]) -> Result<(), String> {
    for (index, call) in calls.iter().enumerate() {
        // Who is told that something is there already, looks, and where nothing is, it was a race that may be run again.
        let raced = call.operation == Operation::Put && call.fault == Some(Fault::Status(412));
        let final_answer = matches!(call.fault, Some(Fault::Status(403 | 404 | 412))) && !raced;
        let same = |later: &Call| (later.operation, &later.path, later.part) == (call.operation, &call.path, call.part);
        // A later step may read the same object anew: what counts is the request that follows.
        let step = life.steps.iter().map(|step| step.from).filter(|from| *from > index).min();
        let later = calls[index + 1..step.unwrap_or(calls.len())].iter();
        let later = later.take_while(|later| later.operation != Operation::List);
        let next = later.take(6).find(|later| same(later));
        if final_answer && next.is_some() && !matches!(call.operation, Operation::Get | Operation::Head) {
            return Err(format!("{call:?} was final, and was asked again"));
        }
    }
    Ok(())
}

/// No upload is left open and no object that no snapshot names, but for what the bucket did not clean when it was told to.
async fn nothing_leaks(world: &World, life: &Life, calls: &[Call]) -> Result<(), String> {
    // Who never hears the id of an upload cannot abort it: that is left to the bucket's own rule for old uploads.
    let unheard = |call: &&Call| call.operation == Operation::CreateMultipart && call.fault.is_some_and(Fault::is_done);
    let excused = calls.iter().filter(unheard).count() + refused(calls, Operation::Abort);
    let live = world.bucket.live_multiparts();
    if live.len() > excused {
        return Err(format!("uploads are left open: {live:?}"));
    }
    let there: Vec<_> = world.bucket.objects().await.into_iter().map(|object| object.location).collect();
    let described = |manifest: &Path| manifest.as_ref().strip_suffix(".manifest").map(Path::from);
    if let Some(object) = there.iter().filter_map(described).find(|object| !there.contains(object)) {
        return Err(format!("{object} is not there, and its manifest is"));
    }
    // A manifest may appear late where its request was not answered, and then its object stays.
    let unanswered = [Fault::Hang, Fault::HangDone, Fault::Reset, Fault::ResetDone].map(Some);
    let late = calls.iter().filter(|call| call.operation == Operation::Put && unanswered.contains(&call.fault));
    let late: Vec<_> = late.filter_map(|call| described(&call.path)).collect();
    let owner = |object: &Path| object.filename() == Some("owner");
    // Of an upload that could not be ended the note stays: the collector ends it by that.
    let aborts = calls.iter().filter(|call| call.operation == Operation::Abort && call.fault.is_some());
    let notes: Vec<_> = aborts.map(|call| format!("{}.upload", call.path)).collect();
    let noted = |object: &Path| notes.iter().any(|note| note == object.as_ref());
    let named =
        |object: &Path| owner(object) || noted(object) || life.published.iter().any(|index| is_of(object, *index));
    let unnamed: Vec<_> = there.into_iter().filter(|object| !named(object) && !late.contains(object)).collect();
    // A manifest that cannot be removed keeps its object: it always names a whole one.
    if unnamed.len() > 2 * refused(calls, Operation::Delete) {
        return Err(format!("objects are left that nothing names: {unnamed:?}"));
    }
    Ok(())
}

/// How many times the last word on something to be cleaned was a fault.
fn refused(calls: &[Call], operation: Operation) -> usize {
    let of = calls.iter().filter(|call| call.operation == operation);
    let last: BTreeMap<&Path, Option<Fault>> = of.map(|call| (&call.path, call.fault)).collect();
    last.values().filter(|fault| fault.is_some_and(|fault| !fault.is_done())).count()
}

fn is_of(object: &Path, index: u64) -> bool {
    object.filename().is_some_and(|name| name.starts_with(&format!("1-{index}-")))
}

/// On the healed bucket the published snapshot is there, whole and right, and the next one can be published.
async fn goes_on(world: &World, life: &Life) -> Result<(), String> {
    world.bucket.faults().heal();
    let store = world.open().await;
    let mut after = life.go_on();
    after.check_state(&store).await;
    if let Some(index) = life.published.last() {
        copy_is_true(world, &store, *index).await?;
    }
    after.read(world, &store, "read on the healed bucket").await;
    after.publish(world, &store, "publish on the healed bucket", LARGE).await;
    after.read(world, &store, "read on the healed bucket").await;
    is_clean(world, &store, &after).await?;
    store.close().await.map_err(|error| format!("closing: {error}"))?;
    match first_error(&after) {
        none if none.is_empty() => Ok(()),
        error => Err(error),
    }
}

fn is_manifest(object: &Path) -> bool {
    object.as_ref().ends_with(".manifest")
}

/// Whatever faults left behind is gone after a collection: there is the published snapshot, and who owns the folder.
pub(crate) async fn is_clean(world: &World, store: &Store, life: &Life) -> Result<(), String> {
    let calls = world.bucket.faults().calls();
    // Whose id nobody heard, and of which the bucket said that there is no such upload.
    let unheard = |call: &&Call| call.operation == Operation::CreateMultipart && call.fault.is_some_and(Fault::is_done);
    let denied = |call: &&Call| call.operation == Operation::Abort && call.fault == Some(Fault::Status(404));
    let excused = calls.iter().filter(unheard).count() + calls.iter().filter(denied).count();
    store.collect_garbage().await.map_err(|error| format!("collecting on the healed bucket: {error}"))?;
    let last = life.published.last().copied().unwrap_or_default();
    let there = world.bucket.objects().await.into_iter().map(|object| object.location);
    // A trial whose object could not be removed leaves that.
    let beside = |object: &Path| object.filename().is_some_and(|name| name == "owner" || name.starts_with("probe-"));
    let left: Vec<_> = there.filter(|object| !beside(object) && !is_of(object, last)).collect();
    let (left_open, live) = (world.bucket.live_multiparts().len(), &left);
    if !left.is_empty() || left_open > excused {
        return Err(format!("the collector left {live:?} and {left_open} uploads"));
    }
    Ok(())
}

/// Beside a published snapshot lies the manifest that the local store has, byte by byte.
pub(crate) async fn copy_is_true(world: &World, store: &Store, index: u64) -> Result<(), String> {
    let objects = world.bucket.objects().await.into_iter().map(|object| object.location);
    let (copies, data): (Vec<_>, Vec<_>) =
        objects.filter(|object| is_of(object, index) && !object.as_ref().ends_with(".upload")).partition(is_manifest);
    let ([copy], [_]) = (&copies[..], &data[..]) else {
        return Err(format!("one object and one manifest should be there, and there are {data:?} and {copies:?}"));
    };
    let copy = world.bucket.inner().get(copy).await.unwrap().bytes().await.unwrap();
    let local = store.local().read_snapshot().await.unwrap().unwrap().read_all().await.unwrap();
    if copy != local { Err("the manifest in the bucket is not the local one".to_owned()) } else { Ok(()) }
}
