//! The copy of the tree in which mutants are tried.
//!
//! Cargo tells what to build by modification times. So a file is written only where it differs, which gives it a new time
//! exactly when its content changed; and taking a patch back writes the old content with a new time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::patch::Patch;

/// A tree that patches are tried on.
#[derive(Debug)]
pub(crate) struct Tree {
    dir: PathBuf,
}

/// A patch that is in the tree; `revert` takes it back.
#[derive(Debug)]
#[must_use]
pub(crate) struct Applied<'a> {
    tree: &'a Tree,
    /// Each touched file as it was; none where there was no file.
    before: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl Tree {
    /// A tree as it stands, only to be looked at.
    pub(crate) fn at(dir: &Path) -> Tree {
        Tree { dir: dir.to_path_buf() }
    }

    /// Makes `dir` equal to what git tracks or would track in `source`, writing only what differs.
    pub(crate) fn copy(source: &Path, dir: &Path) -> Result<Tree> {
        let wanted = tracked(source)?;
        for file in &wanted {
            let (from, to) = (source.join(file), dir.join(file));
            let content = std::fs::read(&from).with_context(|| format!("{}", from.display()))?;
            if std::fs::read(&to).ok().as_deref() != Some(&content) {
                std::fs::create_dir_all(to.parent().unwrap_or(dir))?;
                // Not `fs::copy`, which would keep nothing but the bits we want: the mode, of scripts.
                std::fs::write(&to, &content).with_context(|| format!("{}", to.display()))?;
                std::fs::set_permissions(&to, std::fs::metadata(&from)?.permissions())?;
            }
        }
        let mut present = BTreeSet::new();
        walk(dir, dir, &mut present)?;
        for stale in present.difference(&wanted) {
            std::fs::remove_file(dir.join(stale)).with_context(|| format!("{}", stale.display()))?;
        }
        Ok(Tree::at(dir))
    }

    /// Where it lies.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// An error says why the patch would not apply.
    pub(crate) fn would_apply(&self, patch: &Patch) -> Result<()> {
        self.git_apply(patch, &["--check"])
    }

    /// Applies the patch.
    pub(crate) fn apply(&self, patch: &Patch) -> Result<Applied<'_>> {
        let before: Vec<_> =
            patch.files.iter().map(|file| (file.clone(), std::fs::read(self.dir.join(file)).ok())).collect();
        self.git_apply(patch, &[])?;
        let changed = before.iter().any(|(file, old)| std::fs::read(self.dir.join(file)).ok() != *old);
        ensure!(changed, "the patch changed nothing");
        Ok(Applied { tree: self, before })
    }

    fn git_apply(&self, patch: &Patch, more: &[&str]) -> Result<()> {
        let patch_file = std::path::absolute(&patch.path)?;
        // The copy lies in a directory that git ignores, inside a repository: without the ceiling git would find that
        // repository, and silently apply nothing.
        let output = Command::new("git")
            .args(["apply", "--whitespace=nowarn"])
            .args(more)
            .arg(patch_file)
            .current_dir(&self.dir)
            .env("GIT_CEILING_DIRECTORIES", self.dir.parent().unwrap_or(&self.dir))
            .env_remove("GIT_DIR")
            .stdin(Stdio::null())
            .output()
            .context("git did not start")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "));
        }
        Ok(())
    }
}

impl Applied<'_> {
    /// Puts every touched file back as it was.
    pub(crate) fn revert(self) -> Result<()> {
        for (file, content) in &self.before {
            let path = self.tree.dir.join(file);
            match content {
                Some(content) => std::fs::write(&path, content),
                None => std::fs::remove_file(&path),
            }
            .with_context(|| format!("taking the mutant back from {}", path.display()))?;
        }
        Ok(())
    }
}

/// What git tracks or would track below `dir`, as far as it is there.
fn tracked(dir: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .context("git did not start")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    let names = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    Ok(names.split_terminator('\0').map(PathBuf::from).filter(|file| dir.join(file).is_file()).collect())
}

/// Every file below `dir`, relative to `base`.
fn walk(base: &Path, dir: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("{}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            walk(base, &path, files)?;
        } else {
            files.insert(path.strip_prefix(base)?.to_path_buf());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with one file, and a copy of it inside a directory that it ignores.
    fn repository() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let git = Command::new("git").args(["init", "-q"]).current_dir(dir.path()).status().unwrap();
        assert!(git.success());
        std::fs::write(dir.path().join(".gitignore"), "/target\n").unwrap();
        std::fs::write(dir.path().join("a.rs"), "one\ntwo\n").unwrap();
        let tree = Tree::copy(dir.path(), &dir.path().join("target/tree")).unwrap();
        (dir, tree)
    }

    fn patch(dir: &Path, old: &str) -> Patch {
        let path = dir.join("target/x.patch");
        let diff = format!("--- a/a.rs\n+++ b/a.rs\n@@ -1,2 +1,2 @@\n one\n-{old}\n+three\n");
        std::fs::write(&path, format!("Bug: b\nTest: t\n\n{diff}")).unwrap();
        Patch::read(&path).unwrap()
    }

    #[test]
    fn a_patch_is_applied_to_the_copy_and_taken_back() {
        let (dir, tree) = repository();
        let applied = tree.apply(&patch(dir.path(), "two")).unwrap();
        assert_eq!(std::fs::read_to_string(tree.dir().join("a.rs")).unwrap(), "one\nthree\n");
        assert_eq!(std::fs::read_to_string(dir.path().join("a.rs")).unwrap(), "one\ntwo\n");
        applied.revert().unwrap();
        assert_eq!(std::fs::read_to_string(tree.dir().join("a.rs")).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_patch_that_no_longer_applies_is_an_error() {
        let (dir, tree) = repository();
        assert!(tree.apply(&patch(dir.path(), "four")).is_err());
        assert!(tree.would_apply(&patch(dir.path(), "four")).is_err());
        tree.would_apply(&patch(dir.path(), "two")).unwrap();
    }

    #[test]
    fn a_copy_writes_only_what_differs_and_drops_what_is_gone() {
        let (dir, tree) = repository();
        let copied = tree.dir().join("a.rs");
        let time = std::fs::metadata(&copied).unwrap().modified().unwrap();
        std::fs::write(tree.dir().join("stale.rs"), "left by a mutant").unwrap();
        std::fs::write(dir.path().join("b.rs"), "new").unwrap();
        Tree::copy(dir.path(), tree.dir()).unwrap();
        assert_eq!(std::fs::metadata(&copied).unwrap().modified().unwrap(), time);
        assert!(!tree.dir().join("stale.rs").exists());
        assert!(tree.dir().join("b.rs").exists());
    }
}
