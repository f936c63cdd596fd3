//! Line 12: `create` initialises atomically, `open` never does.

use eraft_core::{ClusterId, Expected, NodeId, StorageErrorKind};

use crate::{CLUSTER, Crash, Lab, NODE, make::*};

/// Starting blank by accident is how votes are forgotten.
pub async fn line_12_opening_where_nothing_is_never_initialises(lab: &mut Lab) {
    lab.env().fresh().await;
    for expected in [Expected::any(), Expected::exactly(CLUSTER, NODE), Expected::any()] {
        let opened = lab.env().open(expected).await;
        lab.refused("opening an empty location", opened.map(drop), StorageErrorKind::NotInitialised);
    }
    let created = lab.env().create(CLUSTER, NODE).await;
    lab.holds("creating there afterwards", created.is_ok(), || format!("{created:?}"));
}

/// Another's data is not ours, whoever is right about the path.
pub async fn line_12_another_cluster_or_node_is_refused(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    lab.close().await;
    let (other_cluster, other_node) = (ClusterId(CLUSTER.0 + 1), NodeId(NODE.0 + 1));
    let wrong = [
        Expected::exactly(other_cluster, NODE),
        Expected::exactly(CLUSTER, other_node),
        Expected { cluster: Some(other_cluster), node: None },
        Expected { cluster: None, node: Some(other_node) },
    ];
    for expected in wrong {
        let opened = lab.env().open(expected).await;
        lab.refused(&format!("{expected:?}"), opened.map(drop), StorageErrorKind::WrongIdentity);
    }
    for expected in [Expected::any(), Expected { cluster: Some(CLUSTER), node: None }] {
        let opened = lab.env().open(expected).await;
        lab.holds(&format!("{expected:?}"), opened.is_ok(), || format!("{:?}", opened.as_ref().err()));
        opened.unwrap().close().await.unwrap();
    }
    let storage = lab.open().await;
    lab.shows(&storage, &model, "after all that").await;
}

/// The store id tells one data directory from every other, for as long as it lives.
pub async fn line_12_the_identity_is_drawn_once_and_kept(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let identity = lab.blank_model().state.identity;
    lab.equal("cluster and node", (identity.cluster, identity.node), (CLUSTER, NODE));
    for _ in 0..3 {
        let read = lab.reopen().await.read_raft_state().await.unwrap().identity;
        lab.equal("the identity after opening again", read, identity);
    }
    drop(storage);
    let mut stores = vec![identity.store];
    for _ in 0..5 {
        lab.fresh().await;
        stores.push(lab.blank_model().state.identity.store);
    }
    stores.sort_unstable();
    stores.dedup();
    lab.equal("different store ids", stores.len(), 6);
}

/// Creating on top of a store would be losing it.
pub async fn line_12_creating_over_a_store_is_refused(lab: &mut Lab) {
    let storage = lab.fresh().await;
    let mut model = lab.blank_model();
    lab.save(&storage, &mut model, append(entries(1, 1, 5))).await;
    let created = lab.env().create(CLUSTER, NODE).await;
    lab.fails("creating over an open store", created);
    lab.close().await;
    let created = lab.env().create(CLUSTER, NodeId(9)).await;
    lab.fails("creating over a closed store", created);
    let storage = lab.open().await;
    lab.shows(&storage, &model, "after the refusals").await;
}

/// A store that was created is there, whatever happens next.
pub async fn line_12_a_created_store_survives_a_power_cut(lab: &mut Lab) {
    lab.fresh().await;
    lab.close().await;
    for _ in 0..3 {
        let storage = lab.crash(Crash::PowerLoss).await;
        lab.shows(&storage, &lab.blank_model(), "after a power cut").await;
        lab.close().await;
    }
    lab.env().fresh().await;
    let identity = lab.env().create(CLUSTER, NODE).await.unwrap();
    let storage = lab.crash(Crash::PowerLoss).await;
    let read = storage.read_raft_state().await.unwrap().identity;
    lab.equal("the identity of one cut right after creating", read, identity);
}

/// All of it or nothing: what a creation that failed leaves either opens or can be created again.
pub async fn line_12_a_creation_that_fails_leaves_no_half_store(lab: &mut Lab) {
    for crash in [Crash::Kill, Crash::PowerLoss, Crash::PowerLoss, Crash::PowerLoss] {
        lab.env().fresh().await;
        lab.env().fail_next_sync().await;
        let created = lab.env().create(CLUSTER, NODE).await;
        lab.fails("creating while a sync fails", created);
        lab.crash_only(crash).await;
        match lab.env().open(Expected::exactly(CLUSTER, NODE)).await {
            Ok(engine) => {
                let storage = engine.group(eraft_core::GroupId::ZERO).await.unwrap();
                lab.holds("it is blank", storage.read_raft_state().await.unwrap().is_blank(), || "it is not".into());
                engine.close().await.unwrap();
            }
            Err(error) => {
                lab.refused::<()>("opening it", Err(error), StorageErrorKind::NotInitialised);
                let created = lab.env().create(CLUSTER, NODE).await;
                lab.holds("creating it again", created.is_ok(), || format!("{created:?}"));
                lab.open().await;
                lab.close().await;
            }
        }
    }
}
