//! Hands libFuzzer's inputs to the target of this name in `fuzz/src`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _decoded = eraft_fuzz::rocksdb_rows(input);
});
