//! Writes the JSON Schema of findings: `cargo run -p almanac-validate --example findings_schema`.

fn main() -> std::io::Result<()> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/json/findings.json");
    std::fs::write(path, almanac_validate::render::json::schema())
}
