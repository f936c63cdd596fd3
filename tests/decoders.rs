//! The fuzz targets, run for a moment: over their seeds, and over some thousand mutations of them.
//!
//! It keeps `fuzz/` from rotting; the long runs are libFuzzer's (docs/TESTING.md). `ERAFT_WRITE_SEEDS=1` writes the seeds to
//! `fuzz/seeds`, from where those runs begin.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test, which reads files"
)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

use fuzz::{TARGETS, memory, seeds::seeds};

const MUTATIONS: u64 = 300;

fn seed() -> u64 {
    std::env::var("ERAFT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7)
}

#[test]
fn every_target_has_seeds_and_they_are_the_ones_that_the_encoders_make() {
    let (root, made) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds"), seeds());
    for (target, _) in TARGETS {
        let folder = root.join(target);
        if std::env::var("ERAFT_WRITE_SEEDS").is_ok_and(|write| write == "1") {
            let _none_there = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            for (nth, seed) in made[target].iter().enumerate() {
                std::fs::write(folder.join(format!("{nth:02}")), seed).unwrap();
            }
        }
        let kept: Vec<_> = (0..).map_while(|nth| std::fs::read(folder.join(format!("{nth:02}"))).ok()).collect();
        assert!(!kept.is_empty() && kept == made[target], "{target}: run this test with ERAFT_WRITE_SEEDS=1");
    }
}

#[test]
fn no_decoder_fails_at_its_seeds_or_at_mutations_of_them() {
    let (seed, made) = (seed(), seeds());
    for (target, run) in TARGETS {
        let mut random = fastrand::Rng::with_seed(seed);
        for original in &made[target] {
            assert!(run(original), "{target} refuses its own seed {}", original.escape_ascii());
            for nth in 0..MUTATIONS {
                let input = mutated(original, &mut random);
                let outcome = std::panic::catch_unwind(|| run(&input));
                assert!(outcome.is_ok(), "{target} fails at mutation {nth} (seed {seed}): {}", input.escape_ascii());
            }
        }
    }
}

/// The longest frame that a server takes.
const MOST_FRAME_BYTES: usize = 3 << 20;

/// As many times these bytes as go into one frame, as one field of this number within those.
fn filled(fields: &[u8], element: &[u8]) -> Vec<u8> {
    let mut bytes = element.repeat((MOST_FRAME_BYTES - 32) / element.len());
    for field in fields {
        let mut whole = vec![field << 3 | 2];
        let mut length = bytes.len();
        while length > 0x7f {
            whole.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        whole.push(u8::try_from(length).unwrap());
        bytes = [whole, bytes].concat();
    }
    bytes
}

/// An element of a list takes two bytes in a frame, and fifty times as many as a value.
#[test]
fn the_fullest_frame_of_the_shortest_elements_takes_bounded_memory() {
    let shortest_entry = [0x12, 4, 8, 1, 16, 1];
    let frames = [
        ("empty messages", filled(&[], &[0x12, 0])),
        ("empty entries", filled(&[14, 2], &[0x12, 0])),
        ("empty entries in many lists", filled(&[2], &[0x72, 2, 0x12, 0])),
        ("the shortest entries", filled(&[14, 2], &shortest_entry)),
    ];
    for (what, frame) in frames {
        let (_decoded, held) = memory::measured(|| fuzz::message(&[&[1], &*frame].concat()));
        println!("{what}: {} bytes are decoded in {held} bytes", frame.len());
        assert!(held <= 25 * frame.len(), "{what}: {held}");
    }
}

#[test]
fn what_a_decoder_holds_is_counted_at_its_worst_moment() {
    let (_, held) = memory::measured(|| {
        drop(vec![0_u8; 10_000]);
        vec![0_u8; 1000]
    });
    assert_eq!(held, 10_000);
    let refused = std::panic::catch_unwind(|| memory::within(999, || vec![0_u8; 1000]));
    assert!(refused.is_err());
}

/// A few bytes changed, taken out, doubled or put in, or the end cut off.
fn mutated(original: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..=bytes.len());
        let until = random.usize(at..=bytes.len().min(at + 16));
        match random.u8(0..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..until)),
            2 => bytes.insert(at, random.u8(..)),
            3 => {
                let copied = bytes[at..until].to_vec();
                bytes.splice(at..at, copied);
            }
            4 if at < bytes.len() => bytes[at] = *random.choice([0, 1, 0x7f, 0x80, 0xff].iter()).unwrap(),
            _ if at < bytes.len() => bytes[at] ^= 1 << random.u8(0..8),
            _ => {}
        }
    }
    bytes
}
