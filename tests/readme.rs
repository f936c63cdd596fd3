//! Runs README's sessions as they are written there, and compares what they print.
//!
//! A ```` ```console ```` block is a terminal: a line that begins with `$ ` is typed, the lines after it are what it must print; a block
//! that types nothing is what the first terminal goes on to print. The cluster runs on ports of its own, and who is elected is
//! chance: so ports are translated, README's leader is taken for the real one, and process ids, terms and paths are
//! masked. Nothing else may differ, and a command that this file does not know how to type is an error, not a pass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    missing_docs,
    reason = "a test that runs real processes"
)]

use std::path::Path;
use std::process::Command;

mod processes;
mod readme_sessions;

use processes::Program;
use readme_sessions::masks::{Cast, masked};
use readme_sessions::{Session, Stage, sessions};

const STARTER: &str = "cargo run --release --example file_node";
const S3_STARTER: &str = "cargo run --release --features s3 --example s3_node -- --demo-s3";

#[test]
fn the_sessions_print_what_readme_says() {
    let script = sessions(&readme());
    assert_eq!(script[0].typed[0].command, STARTER, "README's first session starts the example");
    play("the_sessions_print_what_readme_says", Program::FileNode, STARTER, &script);
}

/// Built where `s3_node` is.
#[cfg(feature = "s3")]
#[test]
fn the_session_on_a_bucket_prints_what_readme_says() {
    let script = sessions(&readme());
    play("the_session_on_a_bucket_prints_what_readme_says", Program::S3Node, S3_STARTER, &script);
}

#[test]
fn the_first_screen_names_the_two_commands() {
    let readme = readme();
    let first_screen: String = readme.lines().take(60).collect::<Vec<_>>().join("\n");
    for command in [STARTER, "cargo xtask test"] {
        assert!(first_screen.contains(command), "`{command}` is not on README's first screen");
    }
}

#[test]
fn masks_hide_chance_and_nothing_else() {
    let cast = Cast::new(7001, 20001);
    let real = "  node 1   clients 127.0.0.1:20001   pid 99999   data eraft-data/n1";
    assert_eq!(masked(&cast.to_readme(real)), masked("  node 1   clients 127.0.0.1:7001   pid 1  data eraft-data/n1"));
    assert_ne!(masked(&cast.to_readme(real)), masked("  node 1   clients 127.0.0.1:7002   pid 1  data eraft-data/n1"));
    assert_eq!(masked("node 3 leads (term 12)"), masked("node 1 leads (term 2)"));
    assert_ne!(masked("\"hello\""), masked("\"hallo\""));
    assert_eq!(masked("  /x/target/debug/examples/file_node run"), masked("  target/release/examples/file_node run"));
}

#[test]
fn a_session_is_read_as_it_is_written() {
    let script =
        sessions("text\n```console\n$ one\na\n\nb\n$ two\n```\n```sh\n$ not run\n```\n```console\ngoes on\n```\n");
    assert_eq!(script.len(), 2);
    assert_eq!(script[0].typed[0].command, "one");
    assert_eq!(script[0].typed[0].prints, ["a", "", "b"]);
    assert_eq!(script[0].typed[1].command, "two");
    assert_eq!(script[1].goes_on, ["goes on"]);
}

/// What is typed and printed from this starter on, until README starts another cluster.
fn act<'a>(script: &'a [Session], starter: &str) -> &'a [Session] {
    let begins = |session: &Session| session.typed.first().is_some_and(|typed| typed.command.starts_with("cargo run"));
    let is_it = |session: &Session| session.typed.first().is_some_and(|typed| typed.command == starter);
    let from = script.iter().position(is_it).unwrap_or_else(|| panic!("README does not type `{starter}`"));
    let rest = &script[from..];
    &rest[..1 + rest[1..].iter().position(begins).unwrap_or(rest.len() - 1)]
}

fn play(test: &str, program: Program, starter: &str, script: &[Session]) {
    if !redis_cli_is_here(test) {
        return;
    }
    let script = act(script, starter);
    let mut stage = Stage::set(program, script);
    for session in script {
        play_session(&mut stage, session);
    }
    stage.end();
}

fn play_session(stage: &mut Stage, session: &Session) {
    stage.expect_first_terminal(&session.goes_on);
    for typed in &session.typed {
        let words: Vec<&str> = typed.command.split_whitespace().collect();
        match words.as_slice() {
            _ if [STARTER, S3_STARTER].contains(&&*typed.command) => stage.start(typed),
            ["redis-cli", ..] => stage.ask(typed),
            ["kill", "-9", pid] => stage.kill(pid),
            [program, "run", "--data", data] if program.ends_with("/file_node") => stage.bring_back(data, typed),
            _ => panic!("README types `{}`, and this test does not know how", typed.command),
        }
    }
}

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

fn redis_cli_is_here(test: &str) -> bool {
    let here = Command::new("redis-cli").arg("--version").output().is_ok_and(|output| output.status.success());
    let required = std::env::var("ERAFT_REQUIRE").is_ok_and(|list| list.split(',').any(|name| name == "redis-tools"));
    assert!(here || !required, "redis-tools is required, and not here");
    if !here {
        println!("SKIPPED {test}: no redis-tools (redis-cli)");
    }
    here
}
