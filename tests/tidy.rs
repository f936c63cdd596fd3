//! Tells when the tree outgrows its own rules: lengths, module headers, what the core may depend on, words left behind.
//!
//! It reads the files that git knows or would add, never the build's results. There is no list of exceptions: a file that is too
//! long is cut, not excused. Each rule is a function from a file's text to its offences, and is itself shown to find one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test, and one that reads the source tree"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use syn::spanned::Spanned;
use syn::visit::Visit;

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;

/// All that the core may depend on: nothing that could reach a disk, a socket, a clock, a thread or a source of randomness.
const CORE_MAY_USE: [&str; 10] = [
    "async-trait",
    "bytes",
    "fastrand", // a generator that is seeded from `Config`; its global functions are banned by clippy.toml
    "futures-core",
    "futures-util",
    "rmp-serde",
    "serde",
    "serde_bytes",
    "thiserror",
    "xxhash-rust",
];

/// What only its feature brings: the client of object storage, its TLS, the tests' S3 server, RocksDB.
const OPTIONAL: [&str; 8] =
    ["object_store", "reqwest", "rustls", "aws-lc-rs", "s3s", "s3s-fs", "eraft-s3-stand-in", "librocksdb-sys"];

/// Words that say that something is missing; written in two halves, so that this file does not bear them.
const LEFT_BEHIND: [(&str, &str); 7] = [
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X"),
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("(to ", "come)"),
];

/// Where a developer's or a builder's machine keeps things; the same.
const MACHINE_PATHS: [(&str, &str); 4] = [("/wo", "rk"), ("/ro", "ot"), ("/ho", "me"), ("/Us", "ers")];

#[test]
fn no_file_is_longer_than_one_idea() {
    demand_none(in_rust_files(|text| too_long(text.lines().count(), MAX_FILE_LINES).into_iter().collect()));
}

#[test]
fn no_function_is_longer_than_one_thought() {
    demand_none(in_rust_files(long_functions));
}

#[test]
fn every_module_opens_with_what_it_is_for() {
    demand_none(in_rust_files(headless));
}

#[test]
fn nothing_is_left_for_later_in_the_text() {
    demand_none(in_files(|_| true, left_behind));
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    demand_none(in_files(|_| true, machine_paths));
}

#[test]
fn an_ignored_test_gives_its_reason() {
    demand_none(in_rust_files(unreasoned_ignores));
}

#[test]
fn the_core_depends_on_nothing_that_acts() {
    let manifest = std::fs::read_to_string(root().join("raft-core/Cargo.toml")).unwrap();
    let offenders: Vec<_> =
        dependencies(&manifest).into_iter().filter(|name| !CORE_MAY_USE.contains(&&**name)).collect();
    assert!(offenders.is_empty(), "raft-core/Cargo.toml may not depend on {offenders:?}; allowed are {CORE_MAY_USE:?}");
}

/// What a plain `cargo build` and `cargo test` compile, and what the core does, as cargo itself resolves it: neither RocksDB nor
/// a client of object storage with its TLS stack, which only their features bring.
#[test]
fn neither_the_core_nor_the_default_build_reaches_object_storage_or_rocksdb() {
    let default = [&[][..], &["--package", "eraft-core", "--all-features"]];
    for args in default {
        let found = reached(args);
        assert!(found.iter().any(|name| name == "bytes"), "cargo tells of nothing: {found:?}");
        let offenders: Vec<_> = found.iter().filter(|name| OPTIONAL.contains(&name.as_str())).collect();
        assert!(offenders.is_empty(), "cargo tree {args:?} reaches {offenders:?}");
    }
    let with_s3 = reached(&["--package", "eraft", "--features", "s3"]);
    for name in ["object_store", "rustls"] {
        assert!(
            with_s3.iter().any(|found| found == name),
            "this test looks for {name}, which the feature does not bring"
        );
    }
}

/// The names of all packages that would be compiled for these, tests and build scripts included.
fn reached(args: &[&str]) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "tree",
        "--offline",
        "--locked",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--edges",
        "normal,build,dev",
    ]);
    let tree = command.args(args).current_dir(root()).output().expect("cargo tells what depends on what");
    assert!(tree.status.success(), "cargo tree: {}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// A `HashMap` iterates in an order that differs from run to run, and with it would the core's messages.
#[test]
fn the_core_has_no_collection_without_an_order() {
    let core = |path: &Path| path.starts_with("raft-core/src") && is_rust(path);
    demand_none(in_files(core, |text| ["HashMap", "HashSet"].iter().flat_map(|name| lines_with(text, name)).collect()));
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let manifest = |path: &Path| path.ends_with("Cargo.toml");
    demand_none(in_files(manifest, |text| {
        let takes = text.contains("[lints]\nworkspace = true");
        if takes { Vec::new() } else { vec![(1, "no `[lints] workspace = true`".to_owned())] }
    }));
}

#[test]
fn the_documents_name_only_files_that_exist() {
    let document = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
    let mut offenders = Vec::new();
    for path in files().into_iter().filter(|path| document(path)) {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        let here = path.parent().unwrap_or(Path::new(""));
        for (line, link, relative) in mentioned_paths(&text) {
            let target = if relative { here.join(&link) } else { PathBuf::from(&link) };
            if !root().join(&target).exists() {
                offenders.push(format!("{}:{line}: no {}", path.display(), target.display()));
            }
        }
    }
    demand_none(offenders);
}

#[test]
fn the_rules_find_what_they_look_for() {
    let function = format!("//! x\nimpl X {{\n    fn long() {{\n{}    }}\n}}\n", "        a();\n".repeat(69));
    assert_eq!(long_functions(&function), [(3, "`long` has 71 lines, the limit is 70".to_owned())]);
    assert_eq!(too_long(501, 500).unwrap().1, "501 lines, the limit is 500");
    assert_eq!(headless("use x;\n").len(), 1);
    assert_eq!(unreasoned_ignores("    #[ignore]\n#[ignore = \"long\"]\n").len(), 1);
    assert_eq!(left_behind(&["a\n// TO", "DO: more\n"].concat()).len(), 1);
    assert_eq!(left_behind("METHODS, autodoc, XXXL\n").len(), 0);
    assert_eq!(machine_paths(&["see /ho", "me/me/x\n"].concat()).len(), 1);
    assert_eq!(machine_paths("https://example.org/homework/home a/root.rs ./work\n").len(), 0);
    let mentioned = mentioned_paths("see [a](b.md#c), `x/y.rs`, `x/y`\n```\n`z/z.rs`\n```\n");
    assert_eq!(mentioned, [(1, "b.md".to_owned(), true), (1, "x/y.rs".to_owned(), false)]);
    assert_eq!(dependencies("[dependencies]\na = 1\nb.workspace = true\n[dev-dependencies]\nc = 1\n"), ["a", "b"]);
}

/// Where in a file, and what.
type Offence = (usize, String);

fn too_long(lines: usize, limit: usize) -> Option<Offence> {
    (lines > limit).then(|| (limit + 1, format!("{lines} lines, the limit is {limit}")))
}

fn headless(text: &str) -> Vec<Offence> {
    let header = text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 8);
    if header { Vec::new() } else { vec![(1, "does not open with a `//!` paragraph".to_owned())] }
}

fn unreasoned_ignores(text: &str) -> Vec<Offence> {
    let bare = |line: &&str| line.trim_start().starts_with("#[ignore]");
    text.lines().enumerate().filter(|(_, line)| bare(line)).map(|(at, line)| (at + 1, line.trim().to_owned())).collect()
}

fn left_behind(text: &str) -> Vec<Offence> {
    LEFT_BEHIND.iter().flat_map(|(a, b)| lines_with(text, &[*a, *b].concat())).collect()
}

fn machine_paths(text: &str) -> Vec<Offence> {
    MACHINE_PATHS.iter().flat_map(|(a, b)| lines_with(text, &[*a, *b].concat())).collect()
}

/// The lines in which `word` stands by itself: not as a part of a longer word or path.
fn lines_with(text: &str, word: &str) -> Vec<Offence> {
    let path = word.starts_with('/');
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || (path && c == '.');
    let alone = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = line.get(..at).and_then(|text| text.chars().next_back());
            let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
            let open_end = word.ends_with(['(', ']', ')']);
            before.is_none_or(|c| !part(c)) && (open_end || after.is_none_or(|c| !part(c)))
        })
    };
    let hit = |(at, line): (usize, &str)| alone(line).then(|| (at + 1, format!("`{}`", line.trim())));
    text.lines().enumerate().filter_map(hit).collect()
}

/// The functions over the limit, from their `fn` to their closing brace.
fn long_functions(text: &str) -> Vec<Offence> {
    let file = match syn::parse_file(text) {
        Ok(file) => file,
        Err(error) => return vec![(error.span().start().line, format!("cannot be parsed: {error}"))],
    };
    let mut functions = Functions::default();
    functions.visit_file(&file);
    functions.0
}

#[derive(Debug, Default)]
struct Functions(Vec<Offence>);

impl Functions {
    fn measure(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let (first, last) = (signature.span().start().line, body.span().end().line);
        if let Some((_, what)) = too_long(last - first + 1, MAX_FUNCTION_LINES) {
            self.0.push((first, format!("`{}` has {what}", signature.ident)));
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure(&function.sig, body);
        }
        syn::visit::visit_trait_item_fn(self, function);
    }
}

/// Paths in a document: links to files, relative to it, and code with a slash that ends as a file or folder of ours does.
fn mentioned_paths(text: &str) -> Vec<(usize, String, bool)> {
    let mut paths = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for link in line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if !link.is_empty() && !link.contains("://") {
                paths.push((at + 1, link.to_owned(), true));
            }
        }
        for code in line.split('`').skip(1).step_by(2).filter(|code| code.contains('/')) {
            let whole = code.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
            let ours = [".rs", ".md", ".toml", ".proto"].iter().any(|end| code.ends_with(end));
            if whole && ours {
                paths.push((at + 1, code.to_owned(), false));
            }
        }
    }
    paths
}

/// The names under `[dependencies]`.
fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    section
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['=', '.', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

fn in_rust_files(rule: impl Fn(&str) -> Vec<Offence>) -> Vec<String> {
    in_files(is_rust, rule)
}

/// Every offence against `rule` in the chosen files, as `file:line: what`.
fn in_files(chosen: impl Fn(&Path) -> bool, rule: impl Fn(&str) -> Vec<Offence>) -> Vec<String> {
    let mut offenders = Vec::new();
    let files: Vec<_> = files().into_iter().filter(|path| chosen(path)).collect();
    assert!(!files.is_empty(), "no file was looked at");
    for path in files {
        // What is not text has no lines to judge, and what was deleted but not yet committed is not there.
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        offenders.extend(rule(&text).into_iter().map(|(line, what)| format!("{}:{line}: {what}", path.display())));
    }
    offenders
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What git tracks or would track, relative to the root.
fn files() -> Vec<PathBuf> {
    let list = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files; apt-get install git");
    assert!(list.status.success(), "git ls-files: {}", String::from_utf8_lossy(&list.stderr));
    let names = String::from_utf8(list.stdout).unwrap();
    names.split_terminator('\0').map(PathBuf::from).collect()
}

fn demand_none(offenders: Vec<String>) {
    assert!(offenders.is_empty(), "{} against the rule:\n{}", offenders.len(), offenders.join("\n"));
}
