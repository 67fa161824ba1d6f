//! Writes `docs/cli.md`: `cargo run -p almanac --example cli_reference`.

fn main() -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("cli.md"), almanac_cli::reference::text())
}
