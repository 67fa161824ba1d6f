//! Where commits come from: a Git repository, read from its object database without a checkout.

mod access;
mod error;
mod failure;
mod git;
mod location;
mod mirror;
mod references;
mod repository;

pub use access::{Access, AccessError};
pub use error::LookError;
pub use failure::Failure;
pub use location::{Location, LocationError};
pub use mirror::MirrorError;
pub use references::ReferenceWatch;
pub use repository::{Commit, Repository, Target, Tree};
