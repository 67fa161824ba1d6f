//! What a caller may take of the reconciler: requests, failures, streams.

mod settings;

pub use settings::Limits;
