//! What the crate promises to its neighbours.

mod json_schemas;
mod manifests;
