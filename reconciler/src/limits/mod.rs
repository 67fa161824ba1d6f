//! What a caller may take of the reconciler: requests, failures, streams.

mod rates;
mod settings;
mod streams;

pub use rates::{Rates, TooMany};
pub use settings::Limits;
pub use streams::{Place, StreamKind, Streams};
