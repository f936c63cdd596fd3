//! The card itself: what each backend made of each promise.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Passed,
    /// Outranks `Passed`: a test that skips its case passes.
    Skipped,
    Failed,
}

/// The promises, in the order of the contract: what the names of their cases begin with, and a few words.
const PROMISES: &[(&str, &str)] = &[
    ("line_01", "saves take effect, and resolve, in call order"),
    ("line_02", "a save is atomic; a crash keeps a prefix"),
    ("line_03", "a resolved receipt survives any crash"),
    ("line_04", "append replaces from its first index on"),
    ("line_05", "compaction drops what a snapshot covers"),
    ("line_06", "reset comes only with its snapshot"),
    ("line_07", "a staged snapshot is invisible until saved"),
    ("line_08", "state and snapshot switch together"),
    ("line_09", "invalid harms nothing, failure poisons"),
    ("line_10", "reads are bounded, and one cut"),
    ("line_11", "damage is told, a torn tail dropped"),
    ("line_12", "opening never initialises; identity"),
    ("line_13", "one opener at a time; close completes"),
    ("line_14", "a full disk harms nothing"),
    ("line_15", "what a read returns is durable"),
    ("concurrency", "many tasks at once"),
    ("groups", "many groups in one engine"),
    ("sizes", "sizes follow what is live"),
    ("state", "state and outline come back"),
    ("random", "random walks agree with the model"),
];

/// What is known so far.
#[derive(Debug, Default)]
pub(crate) struct Card {
    /// In the order in which they were tried.
    backends: Vec<&'static str>,
    cases: BTreeMap<(&'static str, String), Outcome>,
    /// Backends that were not tried, and why.
    left_out: BTreeMap<&'static str, String>,
    /// What else is to be known: the servers that a backend was tried on, and those that it was not.
    notes: Vec<String>,
}

/// Cases of one promise on one backend, by outcome.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    skipped: usize,
    failed: usize,
}

impl Card {
    pub(crate) fn take(&mut self, backend: &'static str, case: &str, outcome: Outcome) {
        if !self.backends.contains(&backend) {
            self.backends.push(backend);
        }
        let known = self.cases.entry((backend, case.to_owned())).or_insert(outcome);
        *known = outcome.max(*known);
    }

    pub(crate) fn leave_out(&mut self, backend: &'static str, reason: String) {
        self.backends.push(backend);
        self.left_out.insert(backend, reason);
    }

    pub(crate) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(crate) fn cases(&self, backend: &str) -> usize {
        self.cases.keys().filter(|(name, _)| *name == backend).count()
    }

    pub(crate) fn failed(&self) -> usize {
        self.backends.iter().map(|backend| self.failed_by(backend)).sum()
    }

    pub(crate) fn failed_by(&self, backend: &str) -> usize {
        self.cases.iter().filter(|((name, _), outcome)| *name == backend && **outcome == Outcome::Failed).count()
    }

    /// Cases of no promise that is listed stand under their own first word, so that none is left out.
    fn promises(&self) -> Vec<(&str, &str)> {
        let listed = |case: &str| PROMISES.iter().any(|(prefix, _)| case.starts_with(prefix));
        let others: BTreeSet<&str> = self.cases.keys().map(|(_, case)| case.as_str()).filter(|c| !listed(c)).collect();
        let others = others.into_iter().map(|case| (case, "of no promise that is listed"));
        PROMISES.iter().copied().chain(others).collect()
    }

    fn counts(&self, backend: &str, promise: &str) -> Counts {
        let mut counts = Counts::default();
        for ((name, case), outcome) in &self.cases {
            if *name == backend && case.starts_with(promise) {
                match outcome {
                    Outcome::Passed => counts.passed += 1,
                    Outcome::Skipped => counts.skipped += 1,
                    Outcome::Failed => counts.failed += 1,
                }
            }
        }
        counts
    }

    /// Promises down, backends across.
    pub(crate) fn table(&self) -> String {
        let mut table = format!("{:<12}{:<48}", "promise", "");
        let mut line = |cells: &str| {
            let _ = writeln!(table, "{cells}");
        };
        line(&self.backends.iter().map(|name| format!("{name:>20}")).collect::<String>());
        for (promise, words) in self.promises() {
            let cells: String = self.backends.iter().map(|name| self.counts(name, promise).cell()).collect();
            line(&format!("{promise:<12}{words:<48}{cells}"));
        }
        let totals: String = self.backends.iter().map(|name| self.counts(name, "").cell()).collect();
        line(&format!("{:<60}{totals}", "all"));
        for note in &self.notes {
            line(note);
        }
        for (backend, reason) in &self.left_out {
            line(&format!("SKIPPED {backend}: {reason}"));
        }
        for ((backend, case), outcome) in &self.cases {
            if *outcome == Outcome::Failed {
                line(&format!("FAILED {backend} {case}"));
            }
        }
        table
    }

    /// The same for a program: an object per backend, promise by promise, with every case by name.
    pub(crate) fn json(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let cases = |backend: &str, promise: &str| {
            let of = self.cases.iter().filter(|((name, case), _)| *name == backend && case.starts_with(promise));
            let each = of.map(|((_, case), outcome)| {
                let word = match outcome {
                    Outcome::Passed => "pass",
                    Outcome::Skipped => "skip",
                    Outcome::Failed => "fail",
                };
                format!("{}: \"{word}\"", quoted(case))
            });
            each.collect::<Vec<_>>().join(", ")
        };
        let promises = |backend: &str| {
            let each = self.promises().into_iter().map(|(promise, words)| {
                let Counts { passed, skipped, failed } = self.counts(backend, promise);
                format!(
                    "    {}: {{\"promise\": {}, \"pass\": {passed}, \"skip\": {skipped}, \"fail\": {failed}, \"cases\": {{{}}}}}",
                    quoted(promise),
                    quoted(words),
                    cases(backend, promise)
                )
            });
            each.collect::<Vec<_>>().join(",\n")
        };
        let backends =
            self.backends.iter().map(|backend| format!("  {}: {{\n{}\n  }}", quoted(backend), promises(backend)));
        let left_out = self.left_out.iter().map(|(backend, reason)| format!("{}: {}", quoted(backend), quoted(reason)));
        let left_out = left_out.collect::<Vec<_>>().join(", ");
        let left_out = (!self.left_out.is_empty()).then(|| format!("  \"left out\": {{{left_out}}}"));
        let notes = self.notes.iter().map(|note| quoted(note)).collect::<Vec<_>>().join(", ");
        let notes = (!self.notes.is_empty()).then(|| format!("  \"notes\": [{notes}]"));
        format!("{{\n{}\n}}", backends.chain(left_out).chain(notes).collect::<Vec<_>>().join(",\n"))
    }
}

impl Counts {
    fn cell(&self) -> String {
        let Counts { passed, skipped, failed } = self;
        let mut words = Vec::new();
        for (count, word) in [(passed, "pass"), (skipped, "skip"), (failed, "FAIL")] {
            if *count > 0 {
                words.push(format!("{count} {word}"));
            }
        }
        let cell = if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        format!("{cell:>20}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> Card {
        let mut card = Card::default();
        card.take("one", "line_03_a", Outcome::Passed);
        card.take("one", "line_03_b", Outcome::Skipped);
        // libtest calls a test that skipped its case passed, before or after.
        card.take("one", "line_03_b", Outcome::Passed);
        card.take("two", "line_03_a", Outcome::Failed);
        card.take("two", "odd_one", Outcome::Passed);
        card
    }

    #[test]
    fn a_skipped_case_is_not_counted_as_passed() {
        assert_eq!(card().counts("one", "line_03"), Counts { passed: 1, skipped: 1, failed: 0 });
    }

    #[test]
    fn a_backend_that_was_not_tried_stands_in_the_table_with_the_reason() {
        let mut card = card();
        card.leave_out("three", "no compiler".into());
        let table = card.table();
        assert!(table.lines().next().unwrap().contains("three"), "{table}");
        assert!(table.contains("SKIPPED three: no compiler"), "{table}");
        assert!(card.json().ends_with("\"left out\": {\"three\": \"no compiler\"}\n}"), "{}", card.json());
    }

    #[test]
    fn a_server_is_named_once_in_the_table_and_to_a_program() {
        let mut card = card();
        card.note("one: a \"server\"".into());
        card.note("one: a \"server\"".into());
        assert_eq!(card.table().matches("one: a \"server\"").count(), 1, "{}", card.table());
        assert!(card.json().ends_with("\"notes\": [\"one: a \\\"server\\\"\"]\n}"), "{}", card.json());
    }

    #[test]
    fn a_failed_case_is_named_under_the_table() {
        let table = card().table();
        assert!(table.contains("FAILED two line_03_a"), "{table}");
        assert!(table.lines().any(|line| line.starts_with("line_03") && line.contains("1 pass, 1 skip")), "{table}");
    }

    #[test]
    fn what_failed_is_counted_backend_by_backend() {
        assert_eq!((card().failed_by("one"), card().failed_by("two"), card().failed()), (0, 1, 1));
    }

    #[test]
    fn a_case_of_no_listed_promise_is_not_left_out() {
        assert!(card().table().lines().any(|line| line.starts_with("odd_one")), "{}", card().table());
    }
}
