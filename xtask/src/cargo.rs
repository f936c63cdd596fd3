//! Starting cargo, and where the workspace lies.
//!
//! Every cargo that xtask starts is the one that started xtask, works on this workspace, and does not inherit the
//! variables that `cargo run` set for xtask's own package (a build script that sees them would be built again each time).

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rocksdb;

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// Where build results go: `CARGO_TARGET_DIR`, else `target/` in the workspace.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A cargo command that runs in `dir`, and links RocksDB where that is kept.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(dir);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_PRIMARY_PACKAGE" {
            command.env_remove(&name);
        }
    }
    command.envs(rocksdb::environment());
    command
}
