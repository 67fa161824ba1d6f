//! Files of runs on this machine: in parallel, continued where they stopped, and checked before they count.
//!
//! Small files come many at a time, and large ones from their store itself where it serves them. What is there already and
//! whole is not fetched again, so whatever ended a download, the same command goes on with it.

mod direct;
mod downloader;
mod hash;
mod index;
mod large;
mod place;
mod progress;
mod small;

pub use downloader::{Arrived, Downloader, File};
pub use hash::Hashed;
pub use index::{Index, IndexError};
pub use place::{Place, relative};
pub use progress::{FileProgress, Progress};
