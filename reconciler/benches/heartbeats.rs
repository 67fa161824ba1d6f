//! How many heartbeats the reconciler takes through TLS, with a connection and a stream of its desired
//! state for each node. `cargo bench -p almanac-reconciler --bench heartbeats -- [NODES [SECONDS]]`
//!
//! It starts the program itself with a repository that declares the nodes, and is the load at the same
//! time, on the same machine. So that the program is what is measured, the load speaks just as much
//! HTTP/2 as it needs (RFC 9113): its own requests never change.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the measurement")]

use std::{
    fs::{self, File},
    io,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use almanac_proto::{Endpoint, Identity, identity, v1};
use chrono::Utc;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long the program may take to put the repository in force.
const START: Duration = Duration::from_secs(60);

/// How many nodes connect at the same time.
const CONNECTING: usize = 64;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let nodes = numbers.next().unwrap_or(10_000);
    let seconds = Duration::from_secs(numbers.next().unwrap_or(10) as u64);
    raise_files(nodes as u64 + 500);
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), nodes);
    let program = Program::start(folder.path());
    let threads = std::env::var_os("LOAD_THREADS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(2);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
    runtime.block_on(measure(folder.path(), &program, nodes, seconds));
}

/// Every connection is a file, here and there: the program inherits the limit.
fn raise_files(most: u64) {
    let now = getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(most).max(most);
    if now.current.is_some_and(|current| current < most) {
        let limit = Rlimit { current: Some(most), maximum: Some(hard) };
        setrlimit(Resource::Nofile, limit).expect("the limit of open files can be raised");
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A repository with an admin and the nodes, a key for each, and a certificate.
fn prepare(folder: &Path, nodes: usize) {
    fs::create_dir_all(folder.join("repo")).unwrap();
    fs::create_dir_all(folder.join("keys")).unwrap();
    let alice = identity::generate(&folder.join("keys/alice"), "alice").unwrap();
    let mut text = format!(
        "apiVersion: almanac/v1\nkind: User\nmetadata: {{ name: alice }}\nspec: {{ role: admin, keys: [\"{alice}\"] }}\n"
    );
    for part in 0..nodes.div_ceil(1000) {
        for node in part * 1000..nodes.min((part + 1) * 1000) {
            let key = identity::generate(&folder.join(format!("keys/node-{node}")), "node").unwrap();
            text += &format!(
                "---\napiVersion: almanac/v1\nkind: Node\nmetadata: {{ name: node-{node} }}\nspec: {{ owner: alice, keys: [\"{key}\"] }}\n"
            );
        }
        fs::write(folder.join(format!("repo/{part}.yaml")), text.trim_start_matches("---\n")).unwrap();
        text.clear();
    }
    // Few nodes are to show how fast it is, and not how fast each of them may be.
    fs::write(folder.join("reconciler.toml"), "[limits]\nrequests-per-second = 1000000\n").unwrap();
    let git = |arguments: &[&str]| run(Command::new("git").current_dir(folder.join("repo")).args(arguments));
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["add", "--all"]);
    git(&[
        "-c",
        "user.name=Alice",
        "-c",
        "user.email=alice@example.org",
        "-c",
        "commit.gpgsign=false",
        "commit",
        "--quiet",
        "-m",
        "nodes",
    ]);
    run(Command::new("openssl").current_dir(folder).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-days",
        "2",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ]));
}

/// The program, which ends with this value.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    fn start(folder: &Path) -> Self {
        let log = folder.join("log");
        let child = Command::new(env!("CARGO_BIN_EXE_almanac-reconciler"))
            .current_dir(folder)
            .args(["serve", "--repo", "repo", "--database", "sqlite://almanac.db", "--listen", "127.0.0.1:0"])
            .args(["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--config", "reconciler.toml"])
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut program = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let begun = std::time::Instant::now();
        loop {
            let text = fs::read_to_string(&log).unwrap();
            if let Some((_, after)) = text.split_once("address=") {
                program.address = after.split_once(' ').unwrap().0.parse().unwrap();
                return program;
            }
            assert!(begun.elapsed() < START, "the reconciler does not listen: {text}");
            std::thread::yield_now();
        }
    }

    /// A line of `/proc/PID/status`, in MiB.
    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn measure(folder: &Path, program: &Program, nodes: usize, length: Duration) {
    let address = format!("https://localhost:{}", program.address.port());
    let alice = Identity::read(&folder.join("keys/alice"), "alice".parse().unwrap(), "almanac").unwrap();
    let endpoint = Endpoint::new(&address, false).unwrap().with_ca_file(Some(folder.join("cert.pem")));
    let mut testbed = endpoint.connect(Some(alice)).unwrap().testbed();
    let begun = Instant::now();
    while testbed.who_am_i(v1::WhoAmIRequest {}).await.is_err() {
        assert!(begun.elapsed() < START, "the repository is not put in force");
        sleep(Duration::from_millis(50)).await;
    }

    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap()).unwrap();
    let mut client =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(client));

    let begun = Instant::now();
    let places = Arc::new(Semaphore::new(CONNECTING));
    let mut connecting = JoinSet::new();
    for node in 0..nodes {
        let (places, connector, address) = (Arc::clone(&places), connector.clone(), program.address);
        let name = format!("node-{node}");
        let identity =
            Identity::read(&folder.join("keys").join(&name), name.parse().unwrap(), "almanac").unwrap();
        connecting.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            let token = identity.token(Utc::now()).unwrap();
            Agent::connect(&connector, address, &name, &token)
                .await
                .unwrap_or_else(|error| panic!("{name}: {error}"))
        });
    }
    let agents = connecting.join_all().await;
    println!("{nodes} nodes connected, each with a stream, in {:.1} s", begun.elapsed().as_secs_f64());

    let beats = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut beating = JoinSet::new();
    for agent in agents {
        beating.spawn(agent.beat(begun + length, Arc::clone(&beats)));
    }
    let mut latencies = Vec::new();
    while let Some(ended) = beating.join_next().await {
        latencies.extend(ended.unwrap().unwrap());
    }
    let took = begun.elapsed();
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        "{:.0} heartbeats/s for {:.1} s; latency p50 {:.1} ms, p99 {:.1} ms, with one under way for each node",
        beats.load(Ordering::Relaxed) as f64 / took.as_secs_f64(),
        took.as_secs_f64(),
        at(0.5),
        at(0.99)
    );
    println!(
        "memory of the reconciler: {} MiB, at most {} MiB",
        program.memory("VmRSS:"),
        program.memory("VmHWM:")
    );
}

// What is needed of RFC 9113: frames and their types.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// The streams of an agent.
const WATCH: u32 = 1;
const HEARTBEAT: u32 = 3;

/// More than all answers together are: so nothing has to be said about what was read.
const WINDOW: u32 = (1 << 31) - 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(9 + payload.len());
    frame.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A header as a literal that nobody is to index (RFC 7541, 6.2.2).
fn header(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        // An integer with a prefix of 7 bits.
        match text.len() {
            short @ ..127 => block.push(short as u8),
            long => {
                block.push(127);
                let mut rest = long - 127;
                while rest >= 128 {
                    block.push((rest % 128) as u8 | 128);
                    rest /= 128;
                }
                block.push(rest as u8);
            }
        }
        block.extend_from_slice(text.as_bytes());
    }
}

/// The head of a call of the node's service.
fn head(method: &str, token: &str) -> Vec<u8> {
    let mut block = Vec::new();
    header(&mut block, ":method", "POST");
    header(&mut block, ":scheme", "https");
    header(&mut block, ":path", &format!("/almanac.v1.NodeService/{method}"));
    header(&mut block, ":authority", "localhost");
    header(&mut block, "content-type", "application/grpc");
    header(&mut block, "te", "trailers");
    header(&mut block, "authorization", &format!("Bearer {token}"));
    block
}

/// An empty message, as gRPC sends it: a heartbeat after which all is as it was.
const NOTHING: [u8; 5] = [0; 5];

/// A message with its first field, a text, as gRPC sends it.
fn message(text: &str) -> Vec<u8> {
    let mut message = vec![0];
    message.extend_from_slice(&(text.len() as u32 + 2).to_be_bytes());
    message.extend_from_slice(&[0x0a, text.len() as u8]);
    message.extend_from_slice(text.as_bytes());
    message
}

/// A node's agent, as the reconciler sees it.
struct Agent {
    reader: BufReader<ReadHalf<TlsStream<TcpStream>>>,
    writer: WriteHalf<TlsStream<TcpStream>>,
    payload: Vec<u8>,
}

impl Agent {
    /// Connects, and waits for the first snapshot and the answer to the first heartbeat.
    async fn connect(
        connector: &TlsConnector,
        address: SocketAddr,
        name: &str,
        token: &str,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
        let (reader, writer) = tokio::io::split(stream);
        let mut agent = Self { reader: BufReader::with_capacity(1024, reader), writer, payload: Vec::new() };
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        settings.extend(WINDOW.to_be_bytes());
        hello.extend(frame(SETTINGS, 0, 0, &settings));
        // The connection's own window begins with what every connection has.
        hello.extend(frame(WINDOW_UPDATE, 0, 0, &(WINDOW - 65_535).to_be_bytes()));
        hello.extend(frame(HEADERS, END_HEADERS, WATCH, &head("WatchDesiredState", token)));
        hello.extend(frame(DATA, END_STREAM, WATCH, &message(name)));
        agent.writer.write_all(&hello).await?;
        agent.answered(WATCH).await?;
        let mut first = frame(HEADERS, END_HEADERS, HEARTBEAT, &head("Heartbeat", token));
        first.extend(frame(DATA, 0, HEARTBEAT, &message(name)));
        agent.writer.write_all(&first).await?;
        agent.answered(HEARTBEAT).await?;
        Ok(agent)
    }

    /// Waits for the next data of a stream; both go on for as long as all is well.
    async fn answered(&mut self, wanted: u32) -> io::Result<()> {
        loop {
            let mut head = [0; 9];
            self.reader.read_exact(&mut head).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            self.payload.resize(length, 0);
            self.reader.read_exact(&mut self.payload).await?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.writer.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
                PING if flags & ACK == 0 => {
                    let pong = frame(PING, ACK, 0, &self.payload);
                    self.writer.write_all(&pong).await?;
                }
                GOAWAY | RESET => return Err(io::Error::other("the reconciler ended the call")),
                HEADERS if flags & END_STREAM != 0 => {
                    return Err(io::Error::other("the reconciler refused the call"));
                }
                DATA if stream == wanted => return Ok(()),
                _ => {}
            }
        }
    }

    /// Sends heartbeats, one after the other, and says how long each took.
    async fn beat(mut self, until: Instant, beats: Arc<AtomicU64>) -> io::Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        let beat = frame(DATA, 0, HEARTBEAT, &NOTHING);
        while Instant::now() < until {
            let begun = Instant::now();
            self.writer.write_all(&beat).await?;
            timeout(START, self.answered(HEARTBEAT)).await.map_err(io::Error::other)??;
            latencies.push(begun.elapsed());
            beats.fetch_add(1, Ordering::Relaxed);
        }
        Ok(latencies)
    }
}
