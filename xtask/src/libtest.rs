//! Reading what `cargo test -- --show-output` prints, line by line.
//!
//! It assumes libtest's stable text format and nothing of the tests but their convention for skipping. It must never lose a
//! failure: a binary that dies without its `test result:` line is one, whatever it printed before.

use std::collections::{BTreeMap, BTreeSet};

/// What all test binaries reported together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Tests that ran and passed; those that skipped are not among them.
    pub(crate) passed: usize,
    /// `<binary> <test>`, or what else went wrong with a binary.
    pub(crate) failed: Vec<String>,
    /// Tests that said that they could not run, and those marked `#[ignore]`.
    pub(crate) skipped: Vec<Skip>,
}

/// A test that could not run here.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
pub(crate) struct Skip {
    /// The name the test gave itself.
    pub(crate) test: String,
    /// What was missing; several reasons stand beside each other.
    pub(crate) reason: String,
}

/// The reader's state between two lines.
#[derive(Debug, Default)]
pub(crate) struct Output {
    report: Report,
    binary: Option<Binary>,
}

/// One test binary that is running.
#[derive(Debug, Default)]
struct Binary {
    name: String,
    /// Counted line by line, for the case that no `test result:` line comes.
    passed: usize,
    failed: BTreeSet<String>,
    ignored: Vec<Skip>,
    /// By the name of the test that printed it; one that printed two is still one test.
    skips: BTreeMap<String, Skip>,
    section: Section,
}

/// Where in a binary's output a line stands.
#[derive(Debug, Default, PartialEq, Eq)]
enum Section {
    #[default]
    Tests,
    /// What the test of this name printed; `shown` for a failed one.
    Printed {
        test: String,
        shown: bool,
    },
    /// Between `successes:` and the first failure: shown only when it is a skip.
    Successes,
    Failures,
}

impl Output {
    /// Takes one line, without its newline, and gives back what of it a reader should see at once.
    pub(crate) fn line(&mut self, line: &str) -> Option<String> {
        if let Some(name) = started(line) {
            self.close();
            self.binary = Some(Binary { name, ..Binary::default() });
            return None;
        }
        let Some(binary) = &mut self.binary else { return (!line.is_empty()).then(|| line.to_owned()) };
        if let Some(result) = line.strip_prefix("test result: ") {
            return self.result(result);
        }
        binary.line(line)
    }

    /// Whether a binary was announced whose result is still to come.
    pub(crate) fn is_running(&self) -> bool {
        self.binary.is_some()
    }

    /// Everything, once cargo has ended.
    pub(crate) fn finish(mut self) -> Report {
        self.close();
        self.report.skipped.sort();
        self.report
    }

    /// The `test result:` line of the running binary, in our words; nothing for a binary without tests.
    fn result(&mut self, result: &str) -> Option<String> {
        let count = |what: &str| -> usize {
            let before = result.split(what).next().unwrap_or("");
            before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        let Some(mut binary) = self.binary.take() else { return Some(result.to_owned()) };
        let (failed, named) = (count(" failed"), binary.failed.len());
        if failed > named {
            binary.failed.insert(format!("and {} more that it did not name", failed - named));
        }
        binary.passed = count(" passed");
        let (passed, skipped) = self.report.add(&binary);
        let took = result.rsplit("finished in ").next().unwrap_or("").trim_end();
        let empty = passed + failed + skipped == 0;
        let line = format!("{:<52} {passed:>4} passed, {failed} failed, {skipped} skipped  {took:>8}", binary.name);
        (!empty).then_some(line)
    }

    /// A binary that is still open when the next one starts has died.
    fn close(&mut self) {
        if let Some(mut binary) = self.binary.take() {
            binary.failed.insert("ended without a result; it was aborted or killed".to_owned());
            self.report.add(&binary);
        }
    }
}

impl Report {
    /// Takes one binary's tests in; how many of them passed, and how many were skipped.
    fn add(&mut self, binary: &Binary) -> (usize, usize) {
        let passed = binary.passed.saturating_sub(binary.skips.len());
        let skipped: Vec<Skip> = binary.skips.values().chain(&binary.ignored).cloned().collect();
        let counts = (passed, skipped.len());
        self.passed += passed;
        self.failed.extend(binary.failed.iter().map(|test| format!("{} {test}", binary.name)));
        self.skipped.extend(skipped);
        counts
    }
}

impl Binary {
    fn line(&mut self, line: &str) -> Option<String> {
        if let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            let shown = self.failed.contains(test);
            self.section = Section::Printed { test: test.to_owned(), shown };
            return shown.then(|| line.to_owned());
        }
        match line {
            "successes:" => self.section = Section::Successes,
            "failures:" => self.section = Section::Failures,
            _ => {}
        }
        if let Some(skip) = skip(line) {
            let by = if let Section::Printed { test, .. } = &self.section { test.clone() } else { skip.test.clone() };
            self.skips
                .entry(by)
                .and_modify(|first| first.reason = format!("{}; {}", first.reason, skip.reason))
                .or_insert(skip);
            return None;
        }
        match &self.section {
            Section::Tests => self.test_line(line),
            // Which server a test found is worth knowing though it passed: others say less.
            Section::Printed { shown, .. } => (*shown || line.starts_with("S3: ")).then(|| line.to_owned()),
            Section::Successes | Section::Failures => None,
        }
    }

    /// `test a::b ... ok`; anything else here is worth seeing (a warning, a test that runs long, a panic that was not caught).
    fn test_line(&mut self, line: &str) -> Option<String> {
        let Some((test, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) else {
            let noise = line.is_empty() || (line.starts_with("running ") && line.contains(" test"));
            return (!noise).then(|| line.to_owned());
        };
        let test = test.split(" - should panic").next().unwrap_or(test);
        if outcome.starts_with("ok") {
            self.passed += 1;
            return None;
        }
        if outcome.starts_with("ignored") {
            let reason = outcome.replacen("ignored", "marked as ignored", 1);
            self.ignored.push(Skip { test: test.to_owned(), reason });
            return None;
        }
        self.failed.insert(test.to_owned());
        Some(format!("FAILED {} {test}", self.name))
    }
}

/// The name of the binary that cargo announces, as `Running tests/x.rs (target/...)` or `Doc-tests x`.
fn started(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix("Running ") {
        let (source, file) = rest.rsplit_once(" (")?;
        let stem = file.trim_end_matches(')').rsplit('/').next()?;
        let krate = stem.rsplit_once('-').map_or(stem, |(name, _)| name);
        return Some(format!("{krate} {}", source.trim_start_matches("unittests ")));
    }
    line.strip_prefix("Doc-tests ").map(|name| format!("{name} documentation"))
}

fn skip(line: &str) -> Option<Skip> {
    let (test, reason) = line.strip_prefix("SKIPPED ")?.split_once(": ")?;
    Some(Skip { test: test.to_owned(), reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Report, String) {
        let mut output = Output::default();
        let shown: Vec<String> = text.lines().filter_map(|line| output.line(line)).collect();
        (output.finish(), shown.join("\n"))
    }

    const TWO_PASS_ONE_SKIPS: &str = "\
     Running tests/a.rs (target/debug/deps/a-0123456789abcdef)

running 3 tests
test one ... ok
test two ... ok
test three ... ok

successes:

---- two stdout ----
SKIPPED two: no redis-tools
SKIPPED two: no redis-benchmark either


successes:
    one
    three
    two

test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    #[test]
    fn a_test_that_says_it_was_skipped_is_not_counted_as_passed() {
        let (report, _) = read(TWO_PASS_ONE_SKIPS);
        assert_eq!((report.passed, report.failed.len()), (2, 0));
        assert_eq!(
            report.skipped[0],
            Skip { test: "two".into(), reason: "no redis-tools; no redis-benchmark either".into() }
        );
    }

    #[test]
    fn what_passing_tests_print_is_not_shown() {
        let (_, shown) = read(TWO_PASS_ONE_SKIPS);
        assert_eq!(shown.lines().count(), 1, "{shown}");
        assert!(shown.contains("2 passed, 0 failed, 1 skipped"), "{shown}");
    }

    #[test]
    fn which_server_a_passing_test_found_is_shown() {
        let (_, shown) = read(&TWO_PASS_ONE_SKIPS.replace("SKIPPED two: no redis-benchmark either", "S3: a server"));
        assert!(shown.starts_with("S3: a server\n"), "{shown}");
    }

    #[test]
    fn a_failure_is_named_with_its_binary_and_its_output_shown() {
        let (report, shown) = read(
            "     Running unittests src/lib.rs (target/debug/deps/eraft_core-00)\nrunning 1 test\ntest a::b ... FAILED\n\n\
             failures:\n\n---- a::b stdout ----\nleft is not right\n\nfailures:\n    a::b\n\n\
             test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!(report.failed, ["eraft_core src/lib.rs a::b"]);
        assert!(shown.contains("left is not right"), "{shown}");
    }

    #[test]
    fn a_binary_that_dies_without_a_result_is_a_failure() {
        let (report, _) = read(
            "     Running tests/a.rs (target/debug/deps/a-00)\nrunning 2 tests\ntest one ... ok\n\
             error: test failed, to rerun pass `--test a`\n     Running tests/b.rs (target/debug/deps/b-00)\n\
             running 1 test\ntest x ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!(report.passed, 2);
        assert_eq!(report.failed, ["a tests/a.rs ended without a result; it was aborted or killed"]);
    }

    #[test]
    fn ignored_tests_are_counted_with_their_reason() {
        let (report, _) = read(
            "   Doc-tests eraft\nrunning 1 test\ntest src/lib.rs - (line 3) ... ignored, needs a cluster\n\n\
             test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!(report.skipped.len(), 1);
        assert_eq!(report.skipped[0].reason, "marked as ignored, needs a cluster");
    }

    #[test]
    fn compiler_output_before_the_first_binary_is_shown() {
        let (_, shown) = read("error[E0308]: mismatched types\n  --> src/lib.rs:1:1\n");
        assert_eq!(shown, "error[E0308]: mismatched types\n  --> src/lib.rs:1:1");
    }
}
