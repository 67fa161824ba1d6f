//! Signed commits: made by `git commit -S` with real keys, and judged from what is in force to a head.

mod branch;
mod commits;
mod history;
mod merges;
mod rights;
mod vouching;
