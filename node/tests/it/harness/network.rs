//! The network between an agent and its reconciler, which is as bad as a test wants it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    runtime,
    sync::{mpsc, watch},
    time,
};

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// It carries everything.
    Fair,
    /// It carries everything, so much later in each direction.
    Slow(Duration),
    /// Nobody answers at the port.
    Refused,
    /// Connections are made, and nothing is carried. Those that see this never carry anything again.
    BlackHole,
    /// As a black hole, but in one direction alone.
    OneWay(Direction),
    /// It carries nothing for a while at the begin of each period, as a link does that goes over from one satellite to
    /// the next.
    Handovers {
        /// From one to the next.
        period: Duration,
        /// How long each takes.
        pause: Duration,
    },
}

/// What is not carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// What the agent says.
    Calls,
    /// What the reconciler says.
    Answers,
}

/// A port that leads to another one. It has threads of its own.
#[derive(Debug)]
pub(crate) struct Network {
    handle: Handle,
    address: SocketAddr,
    _runtime: runtime::Runtime,
}

/// What makes the weather. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    weather: watch::Sender<Weather>,
    cuts: watch::Sender<u64>,
    carried: Arc<AtomicU64>,
}

impl Handle {
    /// Resets every connection.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Network {
    /// A way to an address.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let handle = Handle {
            weather: watch::Sender::new(Weather::Fair),
            cuts: watch::Sender::new(0),
            carried: Arc::default(),
        };
        runtime.spawn(serve(listener, target, handle.clone()));
        Self { handle, address, _runtime: runtime }
    }

    /// Where the agent finds it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How it is from now on.
    pub(crate) fn is(&self, weather: Weather) {
        self.handle.weather.send_replace(weather);
    }

    /// Resets every connection.
    pub(crate) fn cut(&self) {
        self.handle.cut();
    }

    /// How many bytes it carried, both ways together: what TCP carries, without TCP itself.
    pub(crate) fn carried(&self) -> u64 {
        self.handle.carried.load(Ordering::SeqCst)
    }

    /// What makes the weather, for somebody else.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

async fn serve(mut listener: TcpListener, target: SocketAddr, handle: Handle) {
    let address = listener.local_addr().unwrap();
    let mut weather = handle.weather.subscribe();
    loop {
        if *weather.borrow_and_update() == Weather::Refused {
            drop(listener);
            handle.cut();
            let is_open = weather.wait_for(|weather| *weather != Weather::Refused).await.is_ok();
            if !is_open {
                return;
            }
            listener = TcpListener::bind(address).await.unwrap();
        }
        tokio::select! {
            // Cancel-safe: a connection that is not taken waits.
            Ok((client, _)) = listener.accept() => {
                tokio::spawn(carry(client, target, handle.clone()));
            }
            changed = weather.changed() => if changed.is_err() { return },
        }
    }
}

/// Carries a connection until either end or a cut ends it.
async fn carry(client: TcpStream, target: SocketAddr, handle: Handle) {
    let mut cuts = handle.cuts.subscribe();
    let Ok(server) = TcpStream::connect(target).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_cut = tokio::select! {
        // Cancel-safe: what was not carried is lost with the connection.
        _ = cuts.changed() => true,
        _ = pump(&mut from_client, &mut to_server, &handle, Direction::Calls) => false,
        _ = pump(&mut from_server, &mut to_client, &handle, Direction::Answers) => false,
    };
    if is_cut {
        // Both ends get a reset instead of an end.
        for stream in [&to_client, &to_server] {
            let _ = stream.as_ref().set_zero_linger();
        }
    }
}

/// What is on its way, and when it arrives.
type Parcel = (time::Instant, Vec<u8>);

/// How many parcels may be on their way.
const PARCELS: usize = 1024;

/// Carries what one end says to the other.
async fn pump(
    from: &mut tcp::OwnedReadHalf,
    to: &mut tcp::OwnedWriteHalf,
    handle: &Handle,
    direction: Direction,
) -> io::Result<()> {
    let mut weather = handle.weather.subscribe();
    let (sender, mut parcels) = mpsc::channel::<Parcel>(PARCELS);
    let mut reading = weather.clone();
    let read = async move {
        loop {
            let mut bytes = vec![0; 16 << 10];
            let length = from.read(&mut bytes).await?;
            if length == 0 {
                return io::Result::Ok(());
            }
            bytes.truncate(length);
            let delay = match *reading.borrow_and_update() {
                Weather::Slow(delay) => delay,
                _ => Duration::ZERO,
            };
            if sender.send((time::Instant::now() + delay, bytes)).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((at, bytes)) = parcels.recv().await {
            time::sleep_until(at).await;
            pass(&mut weather, direction).await;
            to.write_all(&bytes).await?;
            handle.carried.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
        io::Result::Ok(())
    };
    // The reader ends with its end of the connection, and drops the sender; what was read still arrives.
    let (_, written) = tokio::join!(read, write);
    written
}

/// Waits until something may pass, which may be never.
async fn pass(weather: &mut watch::Receiver<Weather>, direction: Direction) {
    let now = *weather.borrow_and_update();
    match now {
        Weather::Fair | Weather::Slow(_) | Weather::Refused => {}
        Weather::OneWay(lost) if lost != direction => {}
        Weather::BlackHole | Weather::OneWay(_) => std::future::pending().await,
        Weather::Handovers { period, pause } => {
            let within = Duration::from_nanos((since_start().as_nanos() % period.as_nanos()) as u64);
            if within < pause {
                time::sleep(pause - within).await;
            }
        }
    }
}

/// How long the tests have been running: all connections go over at the same time.
fn since_start() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
