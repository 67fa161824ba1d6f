//! Logs are watched while runs go on, and what is seen is what is stored, whoever is killed meanwhile.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use almanac_tests::{
    Runtime, Testbed,
    manifest::{Job, soon},
};

/// `almanac runs logs`, in the background, with both its outputs in files.
struct Watcher {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Watcher {
    fn start(testbed: &Testbed, server: &str, name: &str, args: &[&str]) -> Self {
        let file = |end: &str| testbed.folder().join(format!("{name}.{end}"));
        let (out, err) = (file("out"), file("err"));
        let mut command = testbed.almanac_command("bob", server);
        command.args(["runs", "logs"]).args(args);
        command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Self { child: command.spawn().unwrap(), out, err }
    }

    fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    fn err(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    /// Waits until it ends by itself.
    fn end(&mut self, testbed: &mut Testbed) -> ExitStatus {
        testbed.wait_for("the end of a log that is watched", |_| self.child.try_wait().unwrap())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes on what comes to a port of its own, until its connections are cut.
struct Wire {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
    is_cut: Arc<AtomicBool>,
}

impl Wire {
    fn to(server: &str) -> Self {
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(Mutex::new(Vec::new()));
        let is_cut = Arc::new(AtomicBool::new(false));
        let (kept, cut) = (Arc::clone(&open), Arc::clone(&is_cut));
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect(&server) else { continue };
                if cut.load(Ordering::Acquire) {
                    continue;
                }
                kept.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let both = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
                for (from, to) in both {
                    thread::spawn(move || pass(from, to));
                }
            }
        });
        Self { port, open, is_cut }
    }

    fn server(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Cuts all connections, and lets none through.
    fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.is_cut.store(false, Ordering::Release);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// How many lines [`SCRIPT`] writes to each stream.
const LINES: usize = 150;

/// Writes for some 15 s.
const SCRIPT: &str = "for i in $(seq 150); do echo out $i; echo err $i >&2; sleep 0.1; done; printf end";

fn written() -> (String, String) {
    let lines = |word: &str| (1..=LINES).map(|i| format!("{word} {i}\n")).collect::<String>();
    (format!("{}end", lines("out")), lines("err"))
}

/// A run that goes on and is watched.
fn begin(runtime: Runtime, script: &str) -> (Testbed, String) {
    let mut testbed = Testbed::start(runtime);
    testbed.start_agent("london-01");
    let job = Job::once("watched", "london-01", soon(3), "2m", script);
    testbed.repository.write("jobs/watched.yaml", job.yaml());
    testbed.push("a long job");
    let run = testbed.wait_run("watched", "RUNNING")["id"].as_str().unwrap().to_owned();
    (testbed, run)
}

/// Waits until a watcher has seen so many lines more.
fn moves(testbed: &mut Testbed, watcher: &Watcher) {
    let before = watcher.out().lines().count();
    testbed.wait_for("more lines", |_| (watcher.out().lines().count() > before + 5).then_some(()));
}

fn a_log_is_watched_through_kills_and_cuts(runtime: Runtime) {
    let (mut testbed, run) = begin(runtime, SCRIPT);
    let wire = Wire::to(&testbed.server());
    let mut plain = Watcher::start(&testbed, &wire.server(), "plain", &[&run, "-f"]);
    let mut data = Watcher::start(&testbed, &testbed.server(), "data", &["-o", "json", &run, "--follow"]);
    moves(&mut testbed, &plain);

    testbed.take_agent("london-01").kill();
    testbed.start_agent("london-01");
    moves(&mut testbed, &plain);
    testbed.take_reconciler().kill();
    testbed.start_reconciler();
    moves(&mut testbed, &plain);
    wire.cut();
    moves(&mut testbed, &data);
    wire.mend();
    moves(&mut testbed, &plain);
    // Both at once.
    testbed.take_reconciler().kill();
    testbed.take_agent("london-01").kill();
    testbed.start_reconciler();
    testbed.start_agent("london-01");

    let (out, err) = written();
    assert!(plain.end(&mut testbed).success(), "{}", plain.err());
    assert_eq!(plain.out(), out, "no gap and no repeat");
    // Notes on connections that are lost for longer are the command's own.
    let lines: String =
        plain.err().lines().filter(|line| line.starts_with("err ")).map(|line| format!("{line}\n")).collect();
    assert_eq!(lines, err);
    assert!(data.end(&mut testbed).success(), "{}", data.err());
    let data = data.out();
    let entries: Vec<serde_json::Value> =
        data.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 2 * LINES + 1);
    assert_eq!(entries[2 * LINES]["partial"], true);

    testbed.wait_run("watched", "COMPLETED");
    let stored = testbed.almanac("bob", &["runs", "logs", &run]);
    assert_eq!((stored.stdout, stored.stderr), (out.into_bytes(), err.into_bytes()));
    let stored = testbed.almanac("bob", &["-o", "json", "runs", "logs", &run, "-f"]);
    assert_eq!(String::from_utf8(stored.stdout).unwrap(), data, "what was seen is what is stored");
}

#[test]
fn the_log_of_a_process_is_watched_through_kills_and_cuts() {
    a_log_is_watched_through_kills_and_cuts(Runtime::Process);
}

#[test]
#[ignore = "needs docker"]
fn the_log_of_a_container_is_watched_through_kills_and_cuts() {
    a_log_is_watched_through_kills_and_cuts(Runtime::Docker);
}

#[test]
fn a_run_that_has_not_begun_is_waited_for_and_a_node_that_is_gone_too() {
    let (mut testbed, run) = begin(Runtime::Process, "echo first; sleep 12; echo last");
    testbed.wait_for("the first line", |testbed| {
        let logs = testbed.almanac("bob", &["runs", "logs", &run]);
        (logs.stdout == b"first\n").then_some(())
    });
    testbed.take_agent("london-01").kill();
    let mut watcher = Watcher::start(&testbed, &testbed.server(), "watcher", &[&run, "-f"]);
    testbed.wait_for("word of the node", |_| watcher.err().contains("london-01").then_some(()));
    let gone = testbed.almanac("bob", &["runs", "logs", &run]);
    assert!(!gone.status.success());
    let said = String::from_utf8(gone.stderr).unwrap();
    assert!(said.contains("`london-01`") && said.contains("help: try again later"), "{said}");
    testbed.start_agent("london-01");
    assert!(watcher.end(&mut testbed).success(), "{}", watcher.err());
    assert_eq!(watcher.out(), "first\nlast\n");
}

#[test]
fn a_part_of_a_log_is_printed_and_others_may_not() {
    let (mut testbed, run) = begin(Runtime::Process, "seq 1 100; echo oh >&2; sleep 0.3; seq 101 200");
    testbed.wait_run("watched", "COMPLETED");
    let print = |testbed: &Testbed, options: &[&str]| {
        let output = testbed.almanac("bob", &[&["runs", "logs", &run], options].concat());
        assert!(output.status.success());
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
    };
    assert_eq!(print(&testbed, &["-n", "2"]), ["199\n200\n", ""]);
    let [out, err] = print(&testbed, &["--tail", "1", "--stream", "stderr"]);
    assert_eq!((out.as_str(), err.as_str()), ("", "oh\n"));
    let [stamped, _] = print(&testbed, &["--timestamps", "-n", "1"]);
    let (stamp, text) = stamped.split_once(' ').unwrap();
    assert_eq!(text, "200\n");
    let [since, _] = print(&testbed, &["--since", stamp]);
    assert!(since.ends_with("199\n200\n") && since.starts_with("101\n"), "{since}");
    assert_eq!(print(&testbed, &["--since", "1m", "-n", "1"])[0], "200\n");
    let refused = testbed.almanac("carol", &["runs", "logs", &run]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
}
