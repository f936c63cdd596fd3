//! A mutant's patch file: what the bug is, which test must go red, and which files the diff touches.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// A patch file, read and found well formed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    /// The file's name without `.patch`.
    pub(crate) name: String,
    /// Where the file is.
    pub(crate) path: PathBuf,
    /// One sentence.
    pub(crate) bug: String,
    /// The arguments of `cargo test` that must go red.
    pub(crate) test: Vec<String>,
    /// What the diff touches, relative to the workspace's root.
    pub(crate) files: BTreeSet<PathBuf>,
}

impl Patch {
    /// Reads and checks a patch file.
    pub(crate) fn read(path: &Path) -> Result<Patch> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        Patch::parse(path, &text).context("not a mutant")
    }

    fn parse(path: &Path, text: &str) -> Result<Patch> {
        let name = path.file_stem().context("a patch has a name")?.to_string_lossy().into_owned();
        let (header, diff) = text.split_once("\n\n").context("no empty line between the header and the diff")?;
        let field = |key: &str| -> Result<&str> {
            let value = header.lines().find_map(|line| line.strip_prefix(key)).map_or("", str::trim);
            ensure!(!value.is_empty(), "no `{key} ...` line in the header");
            Ok(value)
        };
        let bug = field("Bug:")?.to_owned();
        let test = words(field("Test:")?)?;
        let files = touched(diff)?;
        ensure!(!files.is_empty(), "the diff touches no file");
        let test_file = files.iter().find(|file| file.components().any(|part| part.as_os_str() == "tests"));
        ensure!(test_file.is_none(), "the diff changes a test: a mutant is a bug of the product");
        Ok(Patch { name, path: path.to_path_buf(), bug, test, files })
    }
}

/// The files named by the diff's `--- a/` and `+++ b/` lines.
fn touched(diff: &str) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut lines = diff.lines().peekable();
    while let Some(line) = lines.next() {
        let (Some(old), Some(new)) =
            (line.strip_prefix("--- "), lines.peek().and_then(|next| next.strip_prefix("+++ ")))
        else {
            continue;
        };
        let sides = [old.strip_prefix("a/"), new.strip_prefix("b/")];
        for file in sides.into_iter().flatten().map(|file| Path::new(file.trim_end())) {
            let inside = file.components().all(|part| matches!(part, Component::Normal(_)));
            ensure!(inside, "the diff leaves the tree: {}", file.display());
            files.insert(file.to_path_buf());
        }
    }
    Ok(files)
}

/// Splits at blanks; `'...'` and `"..."` keep theirs.
fn words(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let (mut word, mut open, mut quote) = (String::new(), false, None);
    for c in text.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => word.push(c),
            None if c == '\'' || c == '"' => (quote, open) = (Some(c), true),
            None if c.is_whitespace() => {
                if open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            None => {
                word.push(c);
                open = true;
            }
        }
    }
    if quote.is_some() {
        bail!("a quote is not closed in `{text}`");
    }
    if open {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "Bug: votes twice\nTest: -p eraft-core --test golden -- --exact 'rule one'\n\n\
        diff --git a/raft-core/src/x.rs b/raft-core/src/x.rs\n--- a/raft-core/src/x.rs\n+++ b/raft-core/src/x.rs\n@@ -1 +1 @@\n-a\n+b\n";

    fn parse(text: &str) -> Result<Patch> {
        Patch::parse(Path::new("mutants/core-x.patch"), text)
    }

    #[test]
    fn a_sound_patch_tells_its_bug_its_test_and_its_files() {
        let patch = parse(SOUND).unwrap();
        assert_eq!((patch.name.as_str(), patch.bug.as_str()), ("core-x", "votes twice"));
        assert_eq!(patch.test, ["-p", "eraft-core", "--test", "golden", "--", "--exact", "rule one"]);
        assert_eq!(patch.files, BTreeSet::from([PathBuf::from("raft-core/src/x.rs")]));
    }

    #[test]
    fn a_patch_without_a_test_is_refused() {
        let error = parse(&SOUND.replace("Test:", "Tests:")).unwrap_err();
        assert_eq!(error.to_string(), "no `Test: ...` line in the header");
    }

    #[test]
    fn a_patch_without_a_diff_is_refused() {
        assert!(parse("Bug: x\nTest: y\n\nsomething else\n").is_err());
    }

    #[test]
    fn a_diff_that_changes_a_test_is_refused() {
        assert!(parse(&SOUND.replace("raft-core/src/x.rs", "raft-core/tests/x.rs")).is_err());
    }

    #[test]
    fn a_diff_that_leaves_the_tree_is_refused() {
        assert!(parse(&SOUND.replace("a/raft-core", "a/../raft-core")).is_err());
    }
}
