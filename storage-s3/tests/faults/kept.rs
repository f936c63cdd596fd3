//! A bucket that goes down at any request of a life whose log cannot wait for it: snapshots are kept, and move.

use std::time::Duration;

use eraft_core::Storage as _;
use tokio::time::timeout;

use crate::{
    bucket::Fault,
    judge::{copy_is_true, is_clean},
    life::{LARGE, Life, Store, World, block_on, live, settle},
    sweep::{long, requests, seed},
};

/// No life takes longer by the paused clock.
const BOUND: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_bucket_that_goes_down_costs_one_snapshot_at_most_and_what_was_kept_moves_once_it_is_back() {
    let (calls, step) = (requests(seed()), if long() { 1 } else { 5 });
    let outages = [500, 403, 404].map(Fault::Status).into_iter().chain([Fault::Hang, Fault::Reset]);
    let (mut lives, mut moved) = (0, 0);
    for fault in outages {
        for index in (0..calls.len()).step_by(step) {
            let one = async { timeout(BOUND, one(index, fault)).await.expect("it still goes on") };
            lives += 1;
            moved += block_on(one).unwrap_or_else(|why| panic!("{fault:?} from request {index} on: {why}"));
        }
    }
    println!("{lives} outages; at the end of {moved} of them the snapshot was in the local store, and moved");
    assert!(moved * 2 > lives, "the bucket was there for most of them");
}

/// Whether a snapshot was kept until the end.
async fn one(index: usize, fault: Fault) -> Result<usize, String> {
    let world = World::impatient(seed());
    world.bucket.faults().from(index, fault);
    let life = live(&world).await;
    let failed = life.steps.iter().filter(|step| step.name.starts_with("publish") && step.outcome.is_err());
    if failed.count() > 1 {
        return Err("a second snapshot waited for the bucket".to_owned());
    }
    let kept = snapshot_in(&world.open().await) == "local-store";
    if kept && life.steps.last().is_none_or(|step| step.outcome.is_err()) {
        return Err("what was kept cannot be read while the bucket is away".to_owned());
    }
    settle().await;

    world.bucket.faults().heal();
    let (store, mut after): (Store, Life) = (world.open().await, life.go_on());
    settle().await;
    if snapshot_in(&store) != "bucket" {
        return Err("its snapshot is not in the bucket, which is back".to_owned());
    }
    after.check_state(&store).await;
    let last = life.published.last().ok_or("nothing was ever published")?;
    copy_is_true(&world, &store, *last).await?;
    after.read(&world, &store, "read on the healed bucket").await;
    // What an earlier opening left goes once it is older than what is published.
    after.publish(&world, &store, "publish on the healed bucket", LARGE).await;
    after.steps.iter().try_for_each(|step| step.outcome.clone()).map_err(|error| error.to_string())?;
    is_clean(&world, &store, &after).await?;
    Ok(usize::from(kept))
}

fn snapshot_in(store: &Store) -> String {
    store.facts().into_iter().find_map(|(name, value)| (name == "snapshot_in").then_some(value)).unwrap()
}
