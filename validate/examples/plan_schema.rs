//! Writes the JSON Schema of plans: `cargo run -p almanac-validate --example plan_schema`.

fn main() -> std::io::Result<()> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/json/plan.json");
    std::fs::write(path, almanac_validate::render::plan::schema())
}
