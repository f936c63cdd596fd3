//! What an operator does wrong: each is refused before anything is touched, in words that say what to do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unreachable_pub,
    missing_docs,
    reason = "a test of real processes: real time, threads and files"
)]

mod processes;

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use processes::{AtLeader, Mounted, Reply, Trio, alone, free_base_port, init, refused};

/// Every file under `dir`, with its bytes.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(contents(&entry.path()));
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// Says that every one of `words` is in `text`.
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

/// Three members as the starter lays them out, none of them started.
fn founded(dir: &Path) -> Trio {
    fs::create_dir(dir.join("data")).unwrap();
    Trio::found(&dir.join("data"))
}

/// That nobody listens where the nodes of `trio` would.
fn none_runs(trio: &Trio) {
    for address in trio.nodes.iter().flat_map(|node| [node.client.clone(), node.peer()]) {
        assert!(TcpListener::bind(&address).is_ok(), "a node was left behind at {address}");
    }
}

#[test]
fn a_second_process_on_a_directory_is_told_who_has_it_and_leaves_the_first_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut trio = founded(dir.path());
    trio.start();
    let (leader, _) = trio.leader();
    let data = format!("data/n{}", leader + 1);
    let text = refused(dir.path(), &["run", "--data", &data]);
    says(&text, &["another process runs on", &data, &format!("{data}/LOCK"), "end that one first"]);
    let text = refused(dir.path(), &["--data", "data"]);
    says(&text, &["a process already runs on data/n1", "data/n1/LOCK", "end it first"]);
    assert_eq!(AtLeader::of(&trio).call(&["SET", "k", "v"]), Reply::Status("OK".into()));
}

#[test]
fn the_starter_refuses_to_start_two_of_three_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let trio = founded(dir.path());
    let before = contents(&dir.path().join("data"));
    let (second, away) = (dir.path().join("data/n2"), dir.path().join("away"));
    fs::rename(&second, &away).unwrap();
    for blank in [false, true] {
        if blank {
            fs::create_dir(&second).unwrap();
        }
        let text = refused(dir.path(), &["--data", "data"]);
        says(&text, &["data/n2 holds no node", "put it back", "must not be made anew"]);
        says(&text, &["run --data data/n1", "run --data data/n3"]);
        none_runs(&trio);
    }
    fs::remove_dir(&second).unwrap();
    fs::rename(&away, &second).unwrap();
    assert_eq!(contents(&dir.path().join("data")), before);
}

#[test]
fn the_starter_refuses_a_directory_in_another_ones_place() {
    let dir = tempfile::tempdir().unwrap();
    let trio = founded(dir.path());
    let before = contents(&dir.path().join("data"));
    let place = |name: &str| dir.path().join(name);
    let swap = || {
        fs::rename(place("data/n1"), place("away")).unwrap();
        fs::rename(place("data/n2"), place("data/n1")).unwrap();
        fs::rename(place("away"), place("data/n2")).unwrap();
    };
    swap();
    says(&refused(dir.path(), &["--data", "data"]), &["data/n1 holds node 2, expected node 1", "under its own name"]);
    none_runs(&trio);
    swap();
    let stranger = init(&place("stranger"), "2", "1=127.0.0.1:9101/127.0.0.1:9001,2=127.0.0.1:9102/127.0.0.1:9002");
    assert!(stranger.status.success());
    fs::rename(place("data/n2"), place("away")).unwrap();
    fs::rename(place("stranger"), place("data/n2")).unwrap();
    says(&refused(dir.path(), &["--data", "data"]), &["data/n2 belongs to cluster", "expected", "directory back"]);
    none_runs(&trio);
    fs::rename(place("data/n2"), place("stranger")).unwrap();
    fs::rename(place("away"), place("data/n2")).unwrap();
    assert_eq!(contents(&place("data")), before);
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    founded(dir.path());
    let before = contents(&dir.path().join("data"));
    for inside in ["", "state", "snapshot"] {
        for mode in [0o720, 0o702] {
            let path = dir.path().join("data/n1").join(inside);
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let text = refused(dir.path(), &["run", "--data", "data/n1"]);
            says(&text, &["data/n1", inside, &format!("mode {mode:o}"), "others than its owner", "chmod go-w"]);
            fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        }
    }
    assert_eq!(contents(&dir.path().join("data")), before);
}

/// The first segment of the log in a node's directory; what is spare is none of it.
fn segment(data: &Path) -> PathBuf {
    let mut files = fs::read_dir(data.join("state")).unwrap().map(|file| file.unwrap().path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "wal")).unwrap()
}

#[test]
fn links_in_the_place_of_a_directory_or_a_file_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    founded(dir.path());
    let before = contents(&dir.path().join("data"));
    let segment = segment(&dir.path().join("data/n1"));
    let segment = format!("data/n1/state/{}", segment.file_name().unwrap().to_str().unwrap());
    for path in ["data/n1", "data/n1/state", "data/n1/snapshot", "data/n1/LOCK", &segment] {
        let (path, away) = (dir.path().join(path), dir.path().join("away"));
        fs::rename(&path, &away).unwrap();
        symlink(&away, &path).unwrap();
        let text = refused(dir.path(), &["run", "--data", "data/n1"]);
        says(&text, &["links are not followed", path.strip_prefix(dir.path()).unwrap().to_str().unwrap()]);
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
    }
    assert_eq!(contents(&dir.path().join("data")), before);
}

#[test]
fn a_file_in_the_place_of_a_directory_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("data"), "somebody's").unwrap();
    says(&refused(dir.path(), &["--data", "data"]), &["data", "Not a directory"]);
    says(&refused(dir.path(), &["run", "--data", "data"]), &["data is a File", "expected a directory"]);
    let voters = "1=127.0.0.1:9101/127.0.0.1:9001";
    let text = refused(dir.path(), &["init", "--data", "data", "--id", "1", "--voters", voters]);
    says(&text, &["cannot initialise data", "Not a directory"]);
    assert_eq!(fs::read_to_string(dir.path().join("data")).unwrap(), "somebody's");
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    founded(dir.path());
    // A read-only mount, for permissions would not stop root.
    let test = "a_directory_that_cannot_be_written_is_refused_with_its_reason";
    let view = Mounted::read_only_view(test, &dir.path().join("data"), dir.path().join("view"));
    if view.is_none() {
        return;
    }
    let text = refused(dir.path(), &["run", "--data", "view/n1"]);
    says(&text, &["view/n1/LOCK", "Read-only file system", "make it writable"]);
    let text = refused(dir.path(), &["--data", "view"]);
    says(&text, &["view/n1/LOCK", "Read-only file system", "make it writable"]);
    let voters = "1=127.0.0.1:9101/127.0.0.1:9001";
    let text = refused(dir.path(), &["init", "--data", "view/n4", "--id", "1", "--voters", voters]);
    says(&text, &["cannot initialise view/n4", "Read-only file system"]);
}

#[test]
fn a_mistyped_flag_is_refused_before_anything_is_founded() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, why) in [
        (["--frobnicate", "yes"].as_slice(), "unexpected argument '--frobnicate'"),
        (&["--base-port", "x"], "invalid value 'x' for '--base-port <PORT>'"),
        (&["--base-port", "70000"], "70000 is not in 0..=65535"),
        (&["--base-port", "65500"], "--base-port is 65500: expected 1 to 65432"),
        (&["--base-port", "0"], "--base-port is 0: expected 1 to 65432"),
        (&["--max-log-bytes", "0"], "invalid value '0' for '--max-log-bytes <BYTES>'"),
        (&["--trailing-entries", "many"], "invalid value 'many' for '--trailing-entries <ENTRIES>'"),
        (&["run"], "--data <DIR>"),
        (&["walk"], "walk"),
        (&["init", "--data", "eraft-data", "--id", "1", "--voters", "1=a/b"], "'a' is not HOST:PORT"),
        (&["init", "--data", "eraft-data", "--id", "one", "--voters", "1=a:1/b:1"], "invalid value 'one' for '--id"),
    ] {
        says(&refused(dir.path(), arguments), &[why]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{arguments:?} left something behind");
    }
}

#[test]
fn a_node_whose_port_is_in_use_says_which_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let trio = founded(dir.path());
    let node = &trio.nodes[0];
    for (address, whose) in [(node.client.clone(), "for clients"), (node.peer(), "for peers")] {
        let held = TcpListener::bind(&address).unwrap();
        says(&refused(dir.path(), &["run", "--data", "data/n1"]), &[&address, whose, "Address already in use"]);
        let text = refused(dir.path(), &["--data", "data"]);
        says(&text, &["node 1 cannot listen on", &address, "Address already in use"]);
        drop(held);
        none_runs(&trio);
    }
}

#[test]
fn the_starter_with_a_peers_port_in_use_founds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let base = free_base_port();
    let _held = TcpListener::bind(("127.0.0.1", base + 102)).unwrap();
    let text = refused(dir.path(), &["--base-port", &base.to_string()]);
    says(&text, &["node 3 cannot listen on", &format!("127.0.0.1:{}", base + 102), "--base-port PORT"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_damaged_node_says_so_and_ends_and_keeps_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = alone(dir.path());
    node.kill();
    let segment = segment(&node.data);
    let mut bytes = fs::read(&segment).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&segment, &bytes).unwrap();
    let before = contents(&node.data);
    let text = refused(dir.path(), &["run", "--data", "n1"]);
    says(
        &text,
        &["Corrupt", segment.file_name().unwrap().to_str().unwrap(), "at offset", "expected", "stop this node"],
    );
    assert_eq!(contents(&node.data), before);
}
