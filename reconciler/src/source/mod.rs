//! Where commits come from: a Git repository, read from its object database without a checkout.

mod location;
mod mirror;
mod repository;

pub use location::{Location, LocationError};
pub use mirror::MirrorError;
pub use repository::{Commit, LookError, Repository, Target, Tree};
