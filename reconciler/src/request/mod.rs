//! The request that is being answered: what its line in the log, its metrics and its trace say.
//!
//! [`Observe`] goes around everything that is served. What answers a request finds it by [`current`]:
//! the services learn where it comes from, and say who makes it.

mod ending;
mod observe;
mod paths;

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use axum::http::{HeaderMap, header::CONTENT_TYPE};

pub use observe::Observe;

tokio::task_local! {
    static CURRENT: Arc<Current>;
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Current {
    /// The address of the other end of the connection.
    pub peer: IpAddr,
    principal: OnceLock<String>,
}

impl Current {
    fn new(peer: IpAddr) -> Arc<Self> {
        Arc::new(Self { peer, principal: OnceLock::new() })
    }

    /// Says who makes the request, once that was proved.
    pub fn made_by(&self, principal: &str) {
        // A request is made by one principal; whoever asks again finds the same.
        let _ = self.principal.set(principal.to_owned());
    }

    fn principal(&self) -> Option<&str> {
        self.principal.get().map(String::as_str)
    }
}

/// The request that is being answered, if one is.
pub fn current() -> Option<Arc<Current>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Whether a request is a call of gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"))
}
