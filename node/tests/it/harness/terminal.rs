//! A satellite terminal: its local gRPC service, which says what it is told to say, or does worse.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{net::TcpListener, runtime, time};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use almanac_proto::dish::{
    self, DeviceInfo, DeviceState, DishGetStatusResponse, DishObstructionStats,
    device_server::{Device, DeviceServer},
};

use super::wait_for;

/// A terminal, that can go away and come back.
pub(crate) struct Terminal {
    says: Arc<Mutex<Says>>,
    address: SocketAddr,
    server: Option<runtime::Runtime>,
}

/// What it says.
#[derive(Debug, Clone)]
pub(crate) struct Says {
    /// The round trip; absent: it has no connection.
    pub(crate) latency: Option<f32>,
    /// How long it takes.
    pub(crate) delay: Duration,
    /// It says something else.
    pub(crate) is_wrong: bool,
    /// How often it was asked.
    pub(crate) asked: usize,
}

impl Terminal {
    /// Starts one on a free port.
    pub(crate) fn start(latency: f32) -> Self {
        let says = Says { latency: Some(latency), delay: Duration::ZERO, is_wrong: false, asked: 0 };
        let says = Arc::new(Mutex::new(says));
        let (server, address) = serve(&says, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self { says, address, server: Some(server) }
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// What it says from now on.
    pub(crate) fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().unwrap()
    }

    /// Goes away, without a word.
    pub(crate) fn vanish(&mut self) {
        self.server.take().unwrap().shutdown_background();
    }

    /// Comes back at the same place.
    pub(crate) fn come_back(&mut self) {
        let (server, _) = wait_for("the port", || serve(&self.says, self.address));
        self.server = Some(server);
    }
}

fn serve(says: &Arc<Mutex<Says>>, address: SocketAddr) -> Option<(runtime::Runtime, SocketAddr)> {
    let server = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = server.block_on(TcpListener::bind(address)).ok()?;
    let address = listener.local_addr().unwrap();
    let service = DeviceServer::new(Service(Arc::clone(says)));
    server.spawn(Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
    Some((server, address))
}

struct Service(Arc<Mutex<Says>>);

#[tonic::async_trait]
impl Device for Service {
    async fn handle(&self, request: Request<dish::Request>) -> Result<Response<dish::Response>, Status> {
        assert!(request.get_ref().get_status.is_some(), "it is asked for its status");
        let says = {
            let mut says = self.0.lock().unwrap();
            says.asked += 1;
            says.clone()
        };
        time::sleep(says.delay).await;
        if says.is_wrong {
            return Ok(Response::new(dish::Response { api_version: Some(1), dish_get_status: None }));
        }
        // Zeros are not sent, as by a real one.
        let status = DishGetStatusResponse {
            device_info: Some(DeviceInfo {
                software_version: Some("2026.40.1".to_owned()),
                ..DeviceInfo::default()
            }),
            device_state: Some(DeviceState { uptime_s: Some(1000) }),
            obstruction_stats: Some(DishObstructionStats::default()),
            pop_ping_latency_ms: says.latency,
            ..DishGetStatusResponse::default()
        };
        Ok(Response::new(dish::Response { api_version: Some(30), dish_get_status: Some(status) }))
    }
}
