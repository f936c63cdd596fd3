//! What comes of one damage.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use eraft_core::{StorageError, StorageErrorKind};

use super::{
    Store,
    damage::{Class, Damage},
    files::{self, Files},
    reference::{self, Content, Reference},
};
use crate::{CLUSTER, NODE};

/// What a damaged store did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Refused,
    Harmless,
    RolledBack,
    /// Why.
    Wrong(String),
}

/// Damages, opens, reads, closes, and puts everything back.
pub(super) fn judge(store: &dyn Store, reference: &Reference, damage: &Damage) -> Verdict {
    let dir = &reference.dir;
    let mut damaged = reference.whole.clone();
    for (path, bytes) in &damage.files {
        match bytes {
            Some(bytes) => {
                files::put(dir, path, bytes).expect("damaging a file");
                damaged.insert(path.clone(), bytes.clone());
            }
            None => {
                files::remove(dir, path).expect("removing a file");
                damaged.remove(path);
            }
        }
    }
    let verdict = look(store, reference, damage, &damaged);
    files::write(dir, &reference.whole).expect("putting the reference store back");
    verdict
}

fn look(store: &dyn Store, reference: &Reference, damage: &Damage, damaged: &Files) -> Verdict {
    let read = catch_unwind(AssertUnwindSafe(|| reference::read(store, &reference.dir, CLUSTER, NODE)));
    match read {
        Err(panic) => {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Verdict::Wrong(format!("a panic: {}", text.unwrap_or("without a message")))
        }
        Ok(Ok(content)) => match reference.content.difference(&content) {
            None => Verdict::Harmless,
            Some(_) if was_rolled_back(store, reference, damage, &content) => Verdict::RolledBack,
            Some(difference) => Verdict::Wrong(difference),
        },
        Ok(Err(error)) => {
            if let Some(lack) = lack(&error, damage) {
                return Verdict::Wrong(format!("{lack}: {error}"));
            }
            if !store.leaves_files_alone() {
                return look_again(store, reference);
            }
            // What one of two damaged files looks like may be repaired before the other is read.
            let unchanged = files::read(&reference.dir, |_| true).is_ok_and(|now| now == *damaged);
            match unchanged || damage.files.len() > 1 {
                true => Verdict::Refused,
                false => Verdict::Wrong(format!("it was refused, and files were changed: {error}")),
            }
        }
    }
}

/// What was refused, and may have been written to meanwhile, must not pass for something else.
fn look_again(store: &dyn Store, reference: &Reference) -> Verdict {
    match catch_unwind(AssertUnwindSafe(|| reference::read(store, &reference.dir, CLUSTER, NODE))) {
        Err(_) => Verdict::Wrong("it was refused, and the next opening panicked".to_owned()),
        Ok(Err(_)) => Verdict::Refused,
        Ok(Ok(content)) => match reference.content.difference(&content) {
            None => Verdict::Refused,
            Some(difference) => Verdict::Wrong(format!("it was refused, and the next opening passed: {difference}")),
        },
    }
}

/// Whether it reads as a store that was closed earlier, where that is out of scope: with an older copy of the tail, or where two
/// places of the tail were hit, which may be its last save and all that confirms it.
fn was_rolled_back(store: &dyn Store, reference: &Reference, damage: &Damage, content: &Content) -> bool {
    let tail = store.tail(&reference.whole.keys().cloned().collect::<Vec<_>>());
    let of_the_tail = damage.files.iter().any(|(path, _)| Some(path) == tail.as_ref());
    let reads_as = |stage: usize| reference.earlier[stage].1.difference(content).is_none();
    match damage.stage {
        Some(stage) => damage.class == Class::StaleTail && reads_as(stage),
        None => of_the_tail && damage.class.is_of_two_places() && (0..reference.earlier.len()).any(reads_as),
    }
}

/// What an error says too little, if anything.
fn lack(error: &StorageError, damage: &Damage) -> Option<String> {
    let says_damage = matches!(
        error.kind(),
        StorageErrorKind::Corrupt | StorageErrorKind::WrongIdentity | StorageErrorKind::Incompatible
    );
    if !says_damage {
        return Some(format!("the error is {:?}", error.kind()));
    }
    let text = error.to_string();
    let names = |path: &Path| path.file_name().is_some_and(|name| text.contains(&*name.to_string_lossy()));
    // Of a file that is gone or out of place, a neighbour may tell.
    let named = match damage.class.has_an_offset() {
        true => damage.files.iter().any(|(path, _)| names(path)) && text.contains(" offset "),
        false => text.contains('/'),
    };
    (!named).then(|| "the error does not say where".to_owned())
}
