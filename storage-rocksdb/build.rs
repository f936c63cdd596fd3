//! Says at once, and with the remedy, that libclang is missing: the bindings of RocksDB would say so later, and less clearly.
//!
//! It finds libclang by the very code that finds it then, and builds nothing.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBCLANG_PATH");
    if clang_sys::load().is_err() {
        println!(
            "cargo::error=RocksDB's bindings are made with libclang, and it was not found: apt-get install libclang-dev, or set \
             LIBCLANG_PATH to the directory of libclang.so"
        );
    }
}
