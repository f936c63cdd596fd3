//! Clocks that jump when a test says so, by `libfaketime`, which stands between a program and the system's clock.
//!
//! Both clocks of the node jump: that of the day, and the one that counts from the start of the machine. A real machine's
//! second clock never goes back; that it does here is more than a node will meet.

use std::{
    fs,
    path::{Path, PathBuf},
};

use eraft_conformance::machine::skip;

/// The probe that this stands for, in `cargo xtask test`.
const PROBE: &str = "faketime";

/// One node's clock.
#[derive(Clone, Debug)]
pub struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// Clocks of three nodes with their files in `dir`, or the reason, printed, why `test` is skipped.
    pub fn three(test: &str, dir: &Path) -> Option<[Clock; 3]> {
        let Some(library) = library() else {
            skip(test, PROBE, "no libfaketimeMT.so.1; apt-get install libfaketime");
            return None;
        };
        let clocks = [1, 2, 3].map(|id| Clock { library: library.clone(), offset: dir.join(format!("clock{id}")) });
        clocks.iter().for_each(|clock| clock.jump_to(0));
        Some(clocks)
    }

    /// What starts a program with this clock.
    pub fn starter(&self) -> Vec<String> {
        let (library, offset) = (self.library.display(), self.offset.display());
        let set = [format!("LD_PRELOAD={library}"), format!("FAKETIME_TIMESTAMP_FILE={offset}")];
        let always = ["FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=0"].map(str::to_owned);
        ["env".to_owned()].into_iter().chain(set).chain(always).collect()
    }

    /// It is so many seconds ahead of the system's from now on; behind, if negative.
    pub fn jump_to(&self, ahead: i64) {
        // It is read at any moment, so it is never half written.
        let next = self.offset.with_extension("next");
        fs::write(&next, format!("{ahead:+}\n")).unwrap();
        fs::rename(next, &self.offset).unwrap();
    }
}

/// Where Debian and others put it.
fn library() -> Option<PathBuf> {
    let roots = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    let triplets = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    roots.into_iter().chain(triplets).map(|root| root.join("faketime/libfaketimeMT.so.1")).find(|file| file.is_file())
}
