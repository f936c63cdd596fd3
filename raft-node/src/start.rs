//! Starting and ending a node: checks what it is given, puts the tasks together, and sees them end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use eraft_core::{
    Config, NodeId, Raft, RaftState, Role, StateMachine, Storage, StorageError, StorageErrorKind, Transport,
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinHandle,
};
use tracing::{Instrument, info, info_span, warn};

use crate::{
    Leadership, Options, StartError, StopCause,
    apply::{ApplyQueue, ApplyTask},
    cache::EntryCache,
    clock::{Clock, random_seed},
    driver::{Driver, Parts},
    inbox::NodeInbox,
    requests::Requests,
    shared::{Gauges, LeadingTerm, Shared},
    stop::{DeclareOnDrop, Signals, Stop, catch_panic},
};

/// What may wait to be told to the loop; whoever tells more waits.
const MAX_NEWS: usize = 64;

/// Starts the tasks of the member whose data `storage` holds.
pub(crate) async fn start(
    options: Options,
    storage: Arc<dyn Storage>,
    transport: Arc<dyn Transport>,
    state_machine: Box<dyn StateMachine>,
) -> Result<Arc<Shared>, StartError> {
    options.validate()?;
    let state = storage.read_raft_state().await?;
    check(&state, state_machine.as_ref())?;
    let (identity, hard_state, applied) = (state.identity, state.hard_state, state_machine.last_applied());
    let clock = Clock::start();
    let raft = Raft::restore(config(&options, identity.node), state, applied, clock.now());
    let (leadership, leadership_watch) =
        watch::channel(Leadership { role: Role::Follower, term: hard_state.term, leader: None });
    let (requests, request_queues) = Requests::new(&options);
    let (inbox, messages) = NodeInbox::new(&options);
    // Each task tells one thing at a time and waits its turn, so the bound only says how many are looked at together.
    let (news, news_queue) = mpsc::channel(MAX_NEWS);
    let shared = Arc::new(Shared {
        cache: EntryCache::new(options.entry_cache_bytes),
        sending: Semaphore::new(options.max_snapshots_sending),
        receiving: Semaphore::new(1),
        news,
        options,
        identity,
        storage,
        raft: Mutex::new(raft),
        leading: LeadingTerm::default(),
        requests,
        inbox: Arc::new(inbox),
        leadership: leadership_watch,
        peers: Mutex::new(BTreeMap::new()),
        gauges: Gauges::default(),
        signals: Signals::default(),
        stop: Stop::new(),
    });
    let apply = Arc::new(ApplyQueue::default());
    let span = info_span!("node", id = identity.node.0);
    let apply_task = {
        let (shared, queue) = (Arc::clone(&shared), Arc::clone(&apply));
        let task = ApplyTask::new(Arc::clone(&shared), queue, state_machine, applied);
        let work = async move {
            if let Err(cause) = catch_panic("apply task", task.run()).await.and_then(|outcome| outcome) {
                shared.signals.fail(cause);
            }
        };
        tokio::spawn(work.instrument(span.clone()))
    };
    let parts = Parts {
        shared: Arc::clone(&shared),
        transport,
        apply: Arc::clone(&apply),
        leadership,
        clock,
        messages,
        requests: request_queues,
        news: news_queue,
        saved_commit: hard_state.commit,
    };
    tokio::spawn(supervise(Driver::new(parts), Arc::clone(&shared), apply, apply_task).instrument(span));
    Ok(shared)
}

/// Whether the store and the state machine can start, and belong together.
fn check(state: &RaftState, state_machine: &dyn StateMachine) -> Result<(), StartError> {
    if state.is_blank() {
        return Err(StartError::Blank { node: state.identity.node });
    }
    let (applied, outline) = (state_machine.last_applied(), &state.outline);
    // A node that writes entries of a term has entered it, durably, in the same save or before. A store that forgot the
    // term has forgotten the vote in it, too.
    if outline.last().term > state.hard_state.term {
        let detail = format!(
            "the log ends with {}, but the term is {}: a vote may be lost with it; this node may come back only as a \
             new member, or from a copy of its store that is whole",
            outline.last(),
            state.hard_state.term
        );
        return Err(StorageError::new(StorageErrorKind::Corrupt, "starting a node", detail).into());
    }
    // One that ends before the log begins is restored from the snapshot; there is one then, by the storage's contract.
    if applied > outline.last_index() {
        return Err(StartError::StateMachine { applied, last: outline.last_index() });
    }
    Ok(())
}

fn config(options: &Options, node: NodeId) -> Config {
    Config {
        id: node,
        seed: options.seed.unwrap_or_else(random_seed),
        election_timeout: options.election_timeout,
        heartbeat_interval: options.heartbeat_interval,
        max_inflight_messages: options.max_inflight_messages,
        max_pending_requests: options.max_pending_requests,
        trailing_entries: options.trailing_entries,
    }
}

/// Runs the loop to its end, then ends everything else, and declares the cause last: whoever hears of the end of a
/// shutdown finds the store closed.
async fn supervise(mut driver: Driver, shared: Arc<Shared>, apply: Arc<ApplyQueue>, mut apply_task: JoinHandle<()>) {
    let _whatever_happens = DeclareOnDrop(|| {
        shared.stop.declare(StopCause::RuntimeEnded);
        shared.close();
    });
    let mut cause = catch_panic("loop", driver.run()).await.unwrap_or_else(|panicked| panicked);
    driver.tell_end();
    shared.close();
    shared.leading.set(None);
    if matches!(cause, StopCause::Shutdown) {
        let settled = catch_panic("loop", driver.settle()).await.and_then(|outcome| outcome);
        apply.close();
        let _how_it_ended_is_signalled = (&mut apply_task).await;
        cause = settled.err().or_else(|| shared.signals.failure().cloned()).unwrap_or(cause);
    } else {
        warn!(%cause, "the node ends");
        shared.stop.declare(cause.clone());
        apply_task.abort();
    }
    // With the driver go the peers' tasks, the snapshots under way, and the answers that clients wait for.
    driver.abandon().await;
    if let Err(error) = shared.storage.close().await {
        warn!(%error, "the store was not closed in good order");
        if matches!(cause, StopCause::Shutdown) {
            cause = StopCause::Storage(error);
        }
    }
    info!(%cause, "the node has ended");
    shared.stop.declare(cause);
}
