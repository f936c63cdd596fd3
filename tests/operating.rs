//! Holds docs/OPERATING.md against the program and the library: every flag, option, error and line of `INFO` is named there.
//!
//! What there is to name is asked of the program where that can be asked (`--help`, `INFO`), and read out of the sources where it
//! cannot. It says nothing of whether a description is right; only that nobody adds something and forgets to tell operators.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    missing_docs,
    reason = "a test that runs real processes and reads the source tree"
)]

use std::{collections::BTreeSet, path::Path};

use syn::{Fields, Item, Visibility};

mod processes;

use processes::{Client, Reply, alone, file_node, flags_missing, flags_unnamed, subcommands};

/// Where the options are, and what they are called.
const OPTIONS: [(&str, &str); 9] = [
    ("raft-node/src/options.rs", "Options"),
    ("transport-grpc/src/options.rs", "GrpcOptions"),
    ("storage-file/src/options.rs", "FileOptions"),
    ("storage-rocksdb/src/options.rs", "RocksOptions"),
    ("storage-s3/src/options.rs", "S3Options"),
    ("storage-s3/src/options.rs", "RetryOptions"),
    ("storage-s3/src/options.rs", "CollectOptions"),
    ("storage-s3/src/connection.rs", "BucketOptions"),
    ("storage-kit/src/options.rs", "GroupCommitOptions"),
];

/// Where the errors are that an operator can meet, and what they are called.
const ERRORS: [(&str, &str); 6] = [
    ("raft-core/src/storage/error.rs", "StorageErrorKind"),
    ("raft-node/src/error.rs", "StartError"),
    ("raft-node/src/error.rs", "BootstrapError"),
    ("raft-node/src/error.rs", "StopCause"),
    ("raft-node/src/error.rs", "ProposeError"),
    ("raft-node/src/error.rs", "ReadError"),
];

#[test]
fn every_flag_stands_in_the_operating_manual_with_its_default() {
    demand_none(flags_unnamed(&manual(), file_node()));
}

#[test]
fn every_option_stands_in_the_operating_manual() {
    let manual = manual();
    demand_none(OPTIONS.iter().flat_map(|(file, name)| unnamed(&manual, name, fields(&source(file), name))).collect());
}

#[test]
fn every_error_stands_in_the_operating_manual() {
    let manual = manual();
    demand_none(ERRORS.iter().flat_map(|(file, name)| unnamed(&manual, name, variants(&source(file), name))).collect());
}

#[test]
fn every_line_of_info_stands_in_the_operating_manual() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path());
    let mut client = Client::connect(&node.client, std::time::Duration::from_secs(5)).unwrap();
    let Reply::Bulk(info) = client.call(&["INFO"]).unwrap() else { panic!("INFO is no text") };
    let names: Vec<String> = info.lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect();
    assert!(names.len() > 20, "INFO says little:\n{info}");
    demand_none(unnamed(&manual(), "INFO", names));
}

#[test]
fn what_is_missing_is_found() {
    let manual = "| `--data` | `eraft-data` | x |\n| `election_timeout` | 1 s |\n";
    let help =
        "Options:\n      --data <DIR>  x [default: eraft-data]\n      --port <PORT>  see --data\n  -h, --help  x\n";
    assert_eq!(flags_missing(manual, "run", help), ["run: `--port`"]);
    let other_default = help.replace("eraft-data", "elsewhere").replace("--port", "--data");
    assert_eq!(flags_missing(manual, "run", &other_default), ["run: `--data` with its default, elsewhere"]);
    let file = "pub struct Options { pub election_timeout: u8, pub seed: u8, hidden: u8 }\npub enum Cause { Full, Io }";
    assert_eq!(unnamed(manual, "Options", fields(file, "Options")), ["Options: `seed`"]);
    assert_eq!(variants(file, "Cause"), ["Full", "Io"]);
    assert_eq!(subcommands("Commands:\n  run   x\n  help  y\n\nOptions:\n"), BTreeSet::from(["run".to_owned()]));
}

/// Those of `names` that the manual does not name as code.
fn unnamed(manual: &str, of: &str, names: Vec<String>) -> Vec<String> {
    let absent = |name: &String| !manual.contains(&format!("`{name}`"));
    names.into_iter().filter(absent).map(|name| format!("{of}: `{name}`")).collect()
}

/// The public fields of the struct `name`.
fn fields(file: &str, name: &str) -> Vec<String> {
    let found = items(file).find_map(|item| match item {
        Item::Struct(item) if item.ident == name => Some(item.fields),
        _ => None,
    });
    let Some(Fields::Named(fields)) = found else { panic!("there is no struct {name} with named fields") };
    let public = fields.named.into_iter().filter(|field| matches!(field.vis, Visibility::Public(_)));
    public.filter_map(|field| Some(field.ident?.to_string())).collect()
}

/// The variants of the enum `name`.
fn variants(file: &str, name: &str) -> Vec<String> {
    let found = items(file).find_map(|item| match item {
        Item::Enum(item) if item.ident == name => Some(item.variants),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("there is no enum {name}")).iter().map(|variant| variant.ident.to_string()).collect()
}

fn items(file: &str) -> impl Iterator<Item = Item> {
    syn::parse_file(file).unwrap().items.into_iter()
}

fn manual() -> String {
    source("docs/OPERATING.md")
}

fn source(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn demand_none(offenders: Vec<String>) {
    assert!(offenders.is_empty(), "docs/OPERATING.md does not name:\n{}", offenders.join("\n"));
}
