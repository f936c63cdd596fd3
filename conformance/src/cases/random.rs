//! Random walks on the store and on the model at once: whatever the named cases did not think of.
//!
//! A walk that fails comes with the shortest one found that still does, operation by operation. `ERAFT_STEPS` makes walks
//! longer, `ERAFT_SEEDS` makes more of them.

use crate::{
    Lab,
    walk::{Ordeals, agrees},
};

/// Saves, stages, reads and openings.
pub async fn random_walks_agree_with_the_model(lab: &mut Lab) {
    let ordeals = Ordeals::none(lab);
    agrees(lab, &ordeals).await;
}

/// And crashes, of every kind that is declared: afterwards the store shows the state after some save that was made, and
/// none before the newest one that was acknowledged.
pub async fn random_walks_through_crashes_agree_with_the_model(lab: &mut Lab) {
    let ordeals = Ordeals::none(lab).with_crashes(lab);
    agrees(lab, &ordeals).await;
}

/// And syncs and writes that fail: the engine takes no more, and when it is opened again all that had succeeded is there.
pub async fn random_walks_through_faults_agree_with_the_model(lab: &mut Lab) {
    let ordeals = Ordeals::none(lab).with_crashes(lab).with_faults(lab);
    agrees(lab, &ordeals).await;
}
