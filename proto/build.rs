//! Compiles the protocol with `protox`, so that no `protoc` is needed.

use std::{env, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["common", "node", "tasks", "testbed"].map(|name| format!("proto/almanac/v1/{name}.proto"));
    let dish = protox::compile(["proto/dish/device.proto"], ["proto"])?;
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(dish)?;
    tonic_prost_build::configure()
        .bytes(".almanac.v1")
        // Theirs are in `src/secret.rs`.
        .skip_debug([".almanac.v1.SignedRequest"])
        .compile_fds(descriptors)?;
    Ok(())
}
