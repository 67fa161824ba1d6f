//! Compiles the gate, which is put into containers: a static program that needs nothing of an image.

#![expect(clippy::disallowed_methods, reason = "cargo tells build scripts by the environment")]

use std::{env, error::Error, path::PathBuf, process::Command};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=gate/main.rs");
    let variable = |name: &str| env::var(name).map_err(|_| format!("cargo does not set {name}"));
    let out = PathBuf::from(variable("OUT_DIR")?).join("gate");
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc
        .args(["gate/main.rs", "--crate-name", "gate", "--edition", "2024", "--target"])
        .arg(variable("TARGET")?)
        .args([
            "-C",
            "target-feature=+crt-static",
            "-C",
            "opt-level=s",
            "-C",
            "panic=abort",
            "-C",
            "strip=symbols",
        ])
        .args(["-C", "lto=fat", "-C", "codegen-units=1"])
        .arg("-o")
        .arg(&out);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    let status = rustc.status()?;
    if !status.success() {
        return Err(format!("the gate cannot be compiled: {status}").into());
    }
    Ok(())
}
