//! Files of runs: how they arrive, where they lie, and how they are fetched.
//!
//! An upload is announced, sent in parts into a staging file, verified, and put into the store. The
//! length of the staging file is what has arrived, so an interrupted upload goes on where it
//! stopped, whatever was restarted in between.

mod adopt;
mod file_name;
mod path;
mod staging;
mod stores;
mod uploads;

pub use file_name::{FileName, FileNameError};
pub use staging::{Staging, StagingError};
pub use stores::{ObjectError, StoreUrl, StoreUrlError};
pub use uploads::{Announcement, Sending, UploadError, Uploads};
