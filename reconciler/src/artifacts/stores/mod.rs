//! Stores of files, named by their addresses: a folder, a container of Azure Blob Storage, a bucket of S3. What they
//! have in common is in `objects.rs`; how a node sends to one of the latter two itself, in `direct.rs`.

mod access;
mod connection_string;
mod direct;
mod error;
mod grants;
mod objects;
mod open;
mod url;

pub use access::AccessError;
pub use direct::{Bounds, Grant, Part};
pub(super) use direct::{Completed, Destination};
pub use error::ObjectError;
pub use open::{Opened, Stores};
pub use url::{StoreUrl, StoreUrlError};
