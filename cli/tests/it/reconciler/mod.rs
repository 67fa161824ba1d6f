//! A reconciler with fixed answers, in this process.

mod changes;
mod conditions;
mod files;
mod jobs;
mod known;
mod nodes;
mod pair;
mod runs;
mod server;
mod service;
mod state;
mod steering;
mod syncs;
mod watched;

pub(crate) use known::{COMPLETED, MISSED, NOW, PAIR, RUNNING};
pub(crate) use server::{Reconciler, at};
pub(crate) use state::{File, State};

/// What a call is answered that has many answers.
type Messages<T> = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<T, tonic::Status>> + Send>>;
