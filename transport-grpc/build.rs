//! Compiles the protocol with `protox`, in Rust, so that building needs no `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/raft.proto");
    let descriptors = protox::compile(["raft.proto"], ["proto"])?;
    // Payloads become slices of the frame they arrived in instead of copies.
    tonic_prost_build::configure()
        .codec_path("crate::codec::CheckedCodec")
        .bytes(".eraft.v1.Entry.payload")
        .bytes(".eraft.v1.SnapshotOpening.meta")
        .bytes(".eraft.v1.SnapshotChunk.data")
        .compile_fds(descriptors)?;
    Ok(())
}
