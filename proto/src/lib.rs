//! How the parts of Almanac talk.
//!
//! - [`v1`]: the generated code of `proto/almanac/v1/*.proto`.
//! - [`dish`]: the generated code of `proto/dish/device.proto`, which satellite terminals speak.
//! - [`convert`]: between the protocol's types and those of `almanac-schemas`.
//! - [`token`]: the short-lived tokens that every call carries, made and verified.
//! - [`identity`]: a principal's private key, and the token that it makes for each call.
//! - [`client`]: a connection to a reconciler.
//! - [`limits`]: sizes and times that both ends agree on.
//! - [`log`]: the format of what runs write.

mod eddsa;
mod secret;

pub mod client;
pub mod convert;
pub mod identity;
pub mod limits;
pub mod log;
pub mod reading;
pub mod token;

pub use client::{Connection, Endpoint};
pub use identity::Identity;

/// The protocol, version 1.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in the .proto files"
)]
pub mod v1 {
    tonic::include_proto!("almanac.v1");
}

/// The local service of a satellite terminal, as far as it is asked.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in the .proto file"
)]
pub mod dish {
    tonic::include_proto!("space_x.api.device");
}

/// The descriptors of the protocol (an encoded `FileDescriptorSet`), for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
