//! README's two commands, read out of it: what is tried is what is written there.

use anyhow::{Context, Result};

/// The commands on README's first screen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Commands {
    /// Starts three nodes: the first line that its first `console` block types.
    pub(super) example: String,
    /// Runs every test: the first line of its first `sh` block.
    pub(super) test: String,
}

/// Finds them.
pub(super) fn commands(readme: &str) -> Result<Commands> {
    let typed = first_block(readme, "```console").and_then(|mut lines| lines.find_map(|line| line.strip_prefix("$ ")));
    let example = typed.context("README has no ```console block that types anything")?.to_owned();
    let line = first_block(readme, "```sh").and_then(|mut lines| lines.next());
    let test = line.context("README has no ```sh block")?.to_owned();
    Ok(Commands { example, test })
}

fn first_block<'a>(readme: &'a str, fence: &'a str) -> Option<impl Iterator<Item = &'a str>> {
    let mut lines = readme.lines();
    lines.find(|line| *line == fence)?;
    Some(lines.take_while(|line| *line != "```"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_commands_are_read_out_of_readme() {
        let readme = std::fs::read_to_string(crate::cargo::root().join("README.md")).unwrap();
        let commands = commands(&readme).unwrap();
        assert_eq!(commands.example, "cargo run --release --example file_node");
        assert_eq!(commands.test, "cargo xtask test");
    }

    #[test]
    fn a_readme_without_them_is_an_error() {
        assert!(commands("```console\n$ one\n```\n").is_err());
        assert!(commands("```sh\ntwo\n```\n```console\nprinted only\n```\n").is_err());
    }
}
