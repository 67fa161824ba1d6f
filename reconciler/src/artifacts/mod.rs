//! Files of runs: how they arrive, where they lie, and how they are fetched.
//!
//! An upload is announced, sent in parts into a staging file, verified, and put into the store. The
//! length of the staging file is what has arrived, so an interrupted upload goes on where it
//! stopped, whatever was restarted in between. To a store that serves nodes itself, they send the parts
//! with grants (`direct.rs`); which of them have arrived is in the database.

mod adopt;
mod direct;
mod file_name;
mod path;
mod staging;
mod stale;
mod stores;
mod uploads;

pub use direct::{Asked, Granted};
pub use file_name::{FileName, FileNameError};
pub use staging::{Staging, StagingError};
pub use stale::STALE;
pub use stores::{AccessError, Bounds, Grant, ObjectError, Opened, Part, StoreUrl, StoreUrlError, Stores};
pub use uploads::{Announcement, Begun, Sending, UploadError, Uploads};
