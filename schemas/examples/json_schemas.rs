//! Writes the JSON Schemas into `schemas/json/`: `cargo run -p almanac-schemas --example json_schemas`.

fn main() -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    std::fs::create_dir_all(&folder)?;
    for (name, text) in almanac_schemas::json_schema::files() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
