//! The services: authenticate, read the request, authorise, ask the store, convert. Nothing is
//! decided here that is not in the rights table or in a core.

mod context;
mod details;
mod files;
mod heartbeat;
mod instruct;
mod keep;
mod kernel;
mod live;
mod logs;
mod message;
mod node;
pub(crate) mod refuse;
mod runs;
mod steer;
mod stopping;
mod syncs;
mod tasks;
mod testbed;

pub use context::Context;
pub use node::NodeCalls;
pub use testbed::TestbedCalls;
