//! What the crate promises to its neighbours and to people.

mod command;
mod conflicts;
mod findings_schema;
mod nasty;
mod order;
mod specs;
mod walking;
