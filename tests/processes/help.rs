//! What a program says of its flags, held against a text that must name them.

use std::{collections::BTreeSet, path::Path, process::Command};

/// The flags of `program`, of its own and of each subcommand, that the manual does not name, or not with their defaults.
pub fn flags_unnamed(manual: &str, program: &Path) -> Vec<String> {
    let top = help(program, &[]);
    let subcommands = subcommands(&top);
    assert!(subcommands.contains("run") && subcommands.contains("init"), "no subcommands in:\n{top}");
    let mut offenders = flags_missing(manual, "the starter", &top);
    for subcommand in &subcommands {
        offenders.extend(flags_missing(manual, subcommand, &help(program, &[subcommand])));
    }
    offenders
}

/// The flags in `help` that the manual does not name, and those whose default it does not tell in the same line.
pub fn flags_missing(manual: &str, of: &str, help: &str) -> Vec<String> {
    let mut offenders = Vec::new();
    for line in help.lines().map(str::trim).filter(|line| line.starts_with("--")) {
        let flag = line.split_whitespace().next().unwrap();
        let rows: Vec<&str> = manual.lines().filter(|row| row.contains(&format!("`{flag}`"))).collect();
        let default = line.split("[default: ").nth(1).and_then(|rest| rest.split(']').next());
        if rows.is_empty() {
            offenders.push(format!("{of}: `{flag}`"));
        } else if let Some(default) = default
            && !rows.iter().any(|row| row.contains(default))
        {
            offenders.push(format!("{of}: `{flag}` with its default, {default}"));
        }
    }
    offenders
}

/// The subcommands that `help` tells of.
pub fn subcommands(help: &str) -> BTreeSet<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// What the program says of itself, or of one of its subcommands: a flag and all of its text in one line.
fn help(program: &Path, subcommand: &[&String]) -> String {
    let output = Command::new(program).args(subcommand).arg("--help").output().unwrap();
    assert!(output.status.success(), "--help of {subcommand:?} failed");
    let text = String::from_utf8(output.stdout).unwrap();
    // With long texts, clap begins a new and deeper line for them.
    text.replace("\n          ", "  ")
}
