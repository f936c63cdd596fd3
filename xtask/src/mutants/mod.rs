//! `cargo xtask mutants`: known bugs, put back one at a time; each must turn the test that it names red.
//!
//! A mutant is a patch in `mutants/` (docs/TESTING.md says how it looks). It is tried in a copy of the tree, never in the tree
//! itself, with build results of its own that are kept between runs. What counts as a kill is strict: a test ran, and failed.
//! A patch that no longer applies, a mutated tree that does not compile, a test that does not exist: these are errors.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::baseline::Baseline;
use self::patch::Patch;
use self::tree::Tree;
use self::trial::Verdict;
use crate::{cargo, probe, rocksdb};

mod baseline;
mod patch;
mod seed;
mod tree;
mod trial;

/// What `cargo xtask mutants` may be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only mutants whose name contains this; may be given several times.
    #[arg(long)]
    only: Vec<String>,
    /// How many are tried at once, each in a copy of its own [default: one per two cores, at most four, at least two].
    #[arg(long)]
    jobs: Option<usize>,
    /// Only see that every patch is well formed and applies; build nothing.
    #[arg(long)]
    check: bool,
    /// Begin none once this many minutes are over. Those that were not tried are counted; where the round began is printed.
    #[arg(long)]
    minutes: Option<u64>,
    /// Where to begin: at the first whose name contains this [default: the first of all; with `--minutes`, any].
    #[arg(long)]
    from: Option<String>,
}

/// One mutant, tried.
#[derive(Debug)]
struct Tried {
    name: String,
    verdict: Verdict,
}

/// Tries every chosen mutant; true when all were killed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let started = Instant::now();
    let root = cargo::root();
    let (mut patches, mut tried) = load(&root.join("mutants"), &args.only)?;
    let mut left = 0;
    if args.check {
        check(&root, &patches, &mut tried);
    } else {
        leave_out_what_cannot_be_built(&mut patches)?;
        begin_at(&mut patches, args)?;
        let jobs = args.jobs.unwrap_or_else(default_jobs).clamp(1, patches.len().max(1));
        println!("{} mutants, {jobs} at once", patches.len());
        let until = args.minutes.map(|minutes| started + Duration::from_secs(60 * minutes));
        let results = try_all(&root, &patches, jobs, until)?;
        left = patches.len() - results.len();
        tried.extend(results);
    }
    for bad in tried.iter().filter(|tried| !tried.verdict.is_kill()) {
        println!("{}: {}", bad.name, bad.verdict);
    }
    if args.check {
        println!("{} mutants looked at, {} do not apply", patches.len(), tried.len());
        return Ok(tried.is_empty());
    }
    Ok(summary(&tried, left, started.elapsed()))
}

/// Turns the list, in which neighbours touch the same files, so that it begins where it is told to; where not all can be tried, at
/// any, so that in time each gets its turn.
fn begin_at(patches: &mut [Patch], args: &Args) -> Result<()> {
    let first = match &args.from {
        Some(part) => {
            let named = patches.iter().position(|patch| patch.name == *part);
            let like = || patches.iter().position(|patch| patch.name.contains(part));
            named.or_else(like).context("--from names no mutant")?
        }
        None if args.minutes.is_some() => {
            let drawn = usize::try_from(RandomState::new().hash_one(()) >> 33)?;
            drawn.checked_rem(patches.len()).unwrap_or(0)
        }
        None => 0,
    };
    patches.rotate_left(first);
    if let Some(patch) = patches.first().filter(|_| args.minutes.is_some()) {
        println!("beginning in both directions from {}: the same round with --from {0}", patch.name);
    }
    Ok(())
}

/// Bugs of RocksDB's backend, where libclang is missing; where it is there, RocksDB is compiled before the first of them is tried.
fn leave_out_what_cannot_be_built(patches: &mut Vec<Patch>) -> Result<()> {
    let before = patches.len();
    if !patches.iter().any(|patch| rocksdb::is_meant(&patch.test)) || rocksdb::ready()? {
        return Ok(());
    }
    patches.retain(|patch| !rocksdb::is_meant(&patch.test));
    println!("SKIPPED {} mutants of RocksDB's backend: no libclang ({})", before - patches.len(), probe::LIBCLANG);
    Ok(())
}

/// Prints the count, and how many were left; true when all that were tried were killed. A round that has found nothing out, since its
/// time was over at once, is no success.
fn summary(tried: &[Tried], left: usize, took: Duration) -> bool {
    if left > 0 {
        println!("{left} mutants were not tried: their time was over");
    }
    let count = |wanted: fn(&Verdict) -> bool| tried.iter().filter(|tried| wanted(&tried.verdict)).count();
    let killed = count(Verdict::is_kill);
    let hung = count(|verdict| matches!(verdict, Verdict::Hung));
    let survived = count(|verdict| matches!(verdict, Verdict::Survived { .. }));
    println!(
        "{} mutants: {killed} killed ({hung} of them by a test that hung), {survived} survived, {} could not be tried; {} min {:02} s",
        tried.len(),
        tried.len() - killed - survived,
        took.as_secs() / 60,
        took.as_secs() % 60
    );
    killed == tried.len() && (left == 0 || killed > 0)
}

fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| (cores.get() / 2).clamp(2, 4))
}

/// The chosen patches, those that touch the same files beside each other, so that each build reuses most of the last one;
/// and those that cannot be read.
fn load(dir: &Path, only: &[String]) -> Result<(Vec<Patch>, Vec<Tried>)> {
    let (mut patches, mut unreadable) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(dir).with_context(|| format!("{}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let chosen = only.is_empty() || only.iter().any(|part| name.contains(part));
        if !chosen || path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        match Patch::read(&path) {
            Ok(patch) => patches.push(patch),
            Err(error) => unreadable.push(Tried { name, verdict: Verdict::DoesNotApply(format!("{error:#}")) }),
        }
    }
    if patches.is_empty() && unreadable.is_empty() {
        bail!("no mutant is chosen; {} holds the patches", dir.display());
    }
    patches.sort_by(|a, b| (&a.files, &a.test, &a.name).cmp(&(&b.files, &b.test, &b.name)));
    Ok((patches, unreadable))
}

/// Adds to `bad` what does not apply to the tree as it is.
fn check(root: &Path, patches: &[Patch], bad: &mut Vec<Tried>) {
    let tree = Tree::at(root);
    for patch in patches {
        if let Err(error) = tree.would_apply(patch) {
            bad.push(Tried { name: patch.name.clone(), verdict: Verdict::DoesNotApply(format!("{error:#}")) });
        }
    }
}

/// Patches that nobody has taken yet. Two workers share them, one from the front and one from the back: each stays among
/// neighbours, and both end together.
type Rest<'a> = Mutex<VecDeque<&'a Patch>>;

/// Has `jobs` workers try all patches, or those that they can begin before the time is over, each in a copy of the tree.
fn try_all(root: &Path, patches: &[Patch], jobs: usize, until: Option<Instant>) -> Result<Vec<Tried>> {
    let share = patches.len().div_ceil(jobs.div_ceil(2)).max(1);
    let rests: Vec<Rest<'_>> = patches.chunks(share).map(|share| Mutex::new(share.iter().collect())).collect();
    let baseline = Baseline::of(patches);
    std::thread::scope(|scope| {
        let start = |number: usize| {
            let (rests, baseline) = (&rests, &baseline);
            let next = move || {
                if until.is_some_and(|until| Instant::now() >= until) {
                    return None;
                }
                let mut rest = rests.get(number / 2)?.lock().unwrap_or_else(PoisonError::into_inner);
                if number.is_multiple_of(2) { rest.pop_front() } else { rest.pop_back() }
            };
            scope.spawn(move || try_each(root, &workplace(number), baseline, next))
        };
        let workers: Vec<_> = (0..jobs).map(start).collect();
        let mut tried = Vec::new();
        for worker in workers {
            let of_one = worker.join().map_err(|_| anyhow::anyhow!("a worker of cargo xtask mutants panicked"))?;
            tried.extend(of_one?);
        }
        Ok(tried)
    })
}

fn workplace(number: usize) -> PathBuf {
    cargo::target_dir().join("mutants").join(number.to_string())
}

/// One worker: patch by patch, each where its test is green without it.
fn try_each<'a>(
    root: &Path,
    dir: &Path,
    baseline: &Baseline<'_>,
    next: impl Fn() -> Option<&'a Patch>,
) -> Result<Vec<Tried>> {
    let tree = Tree::copy(root, &dir.join("tree"))?;
    let target = dir.join("target");
    seed::seed(&cargo::target_dir(), &target)?;
    let mut tried = Vec::new();
    while let Some(patch) = next() {
        let green = baseline.is_green(&tree, &target, &patch.test)?;
        let started = Instant::now();
        let verdict = if green { try_one(&tree, &target, patch)? } else { Verdict::NotGreenBefore };
        print_line(patch, &verdict, started.elapsed());
        tried.push(Tried { name: patch.name.clone(), verdict });
    }
    Ok(tried)
}

fn try_one(tree: &Tree, target: &Path, patch: &Patch) -> Result<Verdict> {
    let applied = match tree.apply(patch) {
        Ok(applied) => applied,
        Err(error) => return Ok(Verdict::DoesNotApply(format!("{error:#}"))),
    };
    let verdict = trial::run(tree, target, &patch.test);
    applied.revert()?;
    verdict
}

fn print_line(patch: &Patch, verdict: &Verdict, took: Duration) {
    println!("{:<9} {:>5.1} s  {:<44} {}", verdict.word(), took.as_secs_f32(), patch.name, patch.bug);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patches() -> Vec<Patch> {
        let named = |name: &str| Patch {
            name: name.to_owned(),
            path: PathBuf::new(),
            bug: String::new(),
            test: Vec::new(),
            files: Default::default(),
        };
        ["codec-a", "core-a-b", "core-a", "file-a"].map(named).into()
    }

    fn order(minutes: Option<u64>, from: Option<&str>) -> Vec<String> {
        let args = Args { only: Vec::new(), jobs: None, check: false, minutes, from: from.map(str::to_owned) };
        let mut patches = patches();
        begin_at(&mut patches, &args).unwrap();
        patches.into_iter().map(|patch| patch.name).collect()
    }

    #[test]
    fn a_round_begins_where_it_is_told_to_and_leaves_none_out() {
        assert_eq!(order(None, Some("core")), ["core-a-b", "core-a", "file-a", "codec-a"]);
        assert_eq!(
            order(None, Some("core-a")),
            ["core-a", "file-a", "codec-a", "core-a-b"],
            "the one of that very name"
        );
        assert_eq!(order(Some(5), Some("file")), ["file-a", "codec-a", "core-a-b", "core-a"]);
        assert_eq!(order(None, None), ["codec-a", "core-a-b", "core-a", "file-a"]);
    }

    #[test]
    fn a_round_that_may_not_reach_all_begins_at_any() {
        let firsts: std::collections::BTreeSet<_> = (0..200).map(|_| order(Some(5), None).remove(0)).collect();
        assert_eq!(firsts.len(), patches().len());
    }

    #[test]
    fn a_round_succeeds_when_it_tried_some_and_all_of_them_were_killed() {
        let tried = |verdict| Tried { name: "core-a".to_owned(), verdict };
        let killed = [tried(Verdict::Killed)];
        let survived = [tried(Verdict::Killed), tried(Verdict::Survived { passed: 1 })];
        let succeeds = |tried: &[Tried], left| summary(tried, left, Duration::ZERO);
        assert!(succeeds(&killed, 0) && succeeds(&killed, 7));
        assert!(!succeeds(&survived, 0) && !succeeds(&survived, 7));
        assert!(!succeeds(&[], 7), "its time was over before the first");
    }

    #[test]
    fn a_beginning_that_is_none_is_told() {
        let args = Args { only: Vec::new(), jobs: None, check: false, minutes: None, from: Some("nothing".into()) };
        assert!(begin_at(&mut patches(), &args).is_err());
    }
}
