//! Futures that are dropped: whoever stages or reads may be gone at any await.
//!
//! The work is polled at every turn of the runtime and dropped after some, for every number of turns until it is done; so what it
//! has going on beside it is met before and after each of its own awaits. Nothing of it may be left in the bucket, the store goes
//! on, and what was published before is read as it was.

use std::{future::poll_fn, pin::pin, task::Poll};

use eraft_core::Storage as _;

use crate::{
    judge::{Outcome, judge},
    life::{LARGE, Life, SMALL, Store, World, block_on},
};

/// Every work ends within so many turns, most of which are waits for another thread.
const MOST_TURNS: usize = 100_000;

#[test]
fn a_stage_that_is_dropped_at_any_await_leaves_nothing_behind() {
    for count in [LARGE, SMALL] {
        let turns = drop_everywhere(opened, async |life, _, store| {
            let _staged = life.stage(&store, count).await.unwrap();
        });
        println!("{turns} places for a snapshot of {count} chunks");
        assert!(turns > if count == LARGE { 30 } else { 8 }, "{turns} turns");
    }
}

#[test]
fn an_abort_and_a_discard_that_are_dropped_at_any_await_go_on_behind_their_callers_back() {
    for count in [LARGE, SMALL] {
        let begin = async |life: &mut Life, world: &World| {
            let store = world.open().await;
            life.begin(&store, count).await.unwrap()
        };
        let turns = drop_everywhere(begin, async |_, _, writer| writer.abort().await.unwrap());
        println!("{turns} places for an abort of {count} chunks");
        assert!(turns > if count == LARGE { 2 } else { 0 }, "{turns} turns");
        let stage = async |life: &mut Life, world: &World| {
            let store = world.open().await;
            let staged = life.stage(&store, count).await.unwrap();
            (store, staged)
        };
        let turns = drop_everywhere(stage, async |_, _, (store, staged)| store.discard_snapshot(staged).await.unwrap());
        println!("{turns} places for a discard of {count} chunks");
        assert!(turns > 2, "{turns} turns");
    }
}

#[test]
fn a_reader_that_is_dropped_at_any_await_harms_nobody() {
    let turns = drop_everywhere(opened, async |life, world, store| life.read(world, &store, "read").await);
    println!("{turns} places");
    assert!(turns > 6, "{turns} turns");
}

async fn opened(_life: &mut Life, world: &World) -> Store {
    world.open().await
}

/// Drops the work after every number of turns, each time in a world of its own in which a snapshot is published and all is
/// prepared; says after how many it was done.
fn drop_everywhere<T>(
    prepare: impl AsyncFn(&mut Life, &World) -> T,
    work: impl AsyncFn(&mut Life, &World, T),
) -> usize {
    (1..MOST_TURNS).find(|turns| drop_after(*turns, &prepare, &work)).expect("the work ends")
}

/// Whether the work was done before.
fn drop_after<T>(
    turns: usize,
    prepare: &impl AsyncFn(&mut Life, &World) -> T,
    work: &impl AsyncFn(&mut Life, &World, T),
) -> bool {
    block_on(async {
        let (world, mut life) = (World::new(turns as u64), Life::default());
        let store = world.open().await;
        life.publish(&world, &store, "publish", LARGE).await;
        drop(store);
        let prepared = prepare(&mut life, &world).await;
        let mut left = turns;
        let done = {
            let mut work = pin!(work(&mut life, &world, prepared));
            poll_fn(|context| {
                left -= 1;
                // Every turn, not only when something is ready.
                context.waker().wake_by_ref();
                match work.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(true),
                    Poll::Pending if left == 0 => Poll::Ready(false),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        };
        if !done {
            assert_eq!(judge(&world, &life).await, Ok(Outcome::Borne), "dropped after {turns} turns");
        }
        done
    })
}
