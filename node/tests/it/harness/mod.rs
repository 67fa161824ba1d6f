//! A reconciler that remembers, agents that can be killed, and jobs.

mod agent;
mod archive;
mod disk;
mod engine;
mod engine_process;
mod engine_way;
mod http;
mod job;
mod network;
mod processes;
mod reconciler;
mod record;
pub(crate) mod registry;
mod service;
mod store;
mod tail;
mod terminal;
mod wait;
mod world;

pub(crate) use agent::{Agent, command, output};
pub(crate) use archive::unpack;
pub(crate) use disk::Disk;
pub(crate) use engine::{Engine, IMAGE, docker};
pub(crate) use engine_process::{Ending, EngineProcess};
pub(crate) use engine_way::EngineWay;
pub(crate) use http::{Answer, ask, connect};
pub(crate) use job::Job;
pub(crate) use network::{Direction, Network, Weather};
pub(crate) use reconciler::Desired;
pub(crate) use record::{Record, Run};
pub(crate) use service::Faults;
pub(crate) use store::{SIGNATURE, Store};
pub(crate) use terminal::Terminal;
pub(crate) use wait::{pause, wait_for};
pub(crate) use world::World;
