//! The server that the calls come to.

use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use almanac_proto::{convert::timestamp, v1::testbed_service_server::TestbedServiceServer};
use almanac_schemas::Instant;

use super::State;

/// A running reconciler.
#[derive(Clone)]
pub(crate) struct Reconciler {
    pub(crate) state: Arc<Mutex<State>>,
}

impl Reconciler {
    /// Starts it on a free port and answers its address.
    pub(crate) async fn start(state: State) -> (Self, String) {
        let reconciler = Self { state: Arc::new(Mutex::new(state)) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let service = TestbedServiceServer::new(reconciler.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (reconciler, address)
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Notes a question and whether it carries a token.
    pub(super) fn ask<T: std::fmt::Debug>(&self, request: &Request<T>) -> Result<(), Status> {
        let mut state = self.state.lock().unwrap();
        let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if !token.is_some_and(|token| token.starts_with("Bearer ey")) {
            return Err(Status::unauthenticated("the call carries no token"));
        }
        state.asked.push(format!("{:?}", request.get_ref()));
        state.refusal.clone().map_or(Ok(()), Err)
    }

    /// Answers a question that carries a token.
    pub(super) fn told<Q: std::fmt::Debug, A>(
        &self,
        request: &Request<Q>,
        answer: impl FnOnce(&Self, &Q) -> Result<A, Status>,
    ) -> Result<Response<A>, Status> {
        self.ask(request)?;
        answer(self, request.get_ref()).map(Response::new)
    }

    pub(super) fn page<T>(&self, items: Vec<T>, size: i32, token: &str) -> (Vec<T>, String) {
        let State { empty, most, .. } = *self.state.lock().unwrap();
        if empty {
            return (vec![], String::new());
        }
        let start: usize = token.parse().unwrap_or(0);
        let size = usize::try_from(size).unwrap().min(most.unwrap_or(usize::MAX));
        let end = items.len().min(start + size);
        let next = if end < items.len() { end.to_string() } else { String::new() };
        (items.into_iter().skip(start).take(end - start).collect(), next)
    }
}

pub(crate) fn at(text: &str) -> Option<prost_types::Timestamp> {
    Some(timestamp(text.parse::<Instant>().unwrap().0))
}
