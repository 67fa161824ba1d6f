//! The socket of a run, asked from where the run is.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
};

use serde_json::{Value, json};

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, Run, World, ask, connect, docker};

fn socket(world: &World, run: &Run) -> PathBuf {
    world.state_dir().join("runs").join(&run.key.0).join("almanac/api.sock")
}

fn descriptors(world: &World) -> usize {
    fs::read_dir(format!("/proc/{}/fd", world.agent.as_ref().unwrap().id())).unwrap().count()
}

#[test]
fn a_run_learns_what_it_is_and_what_it_cannot_ask() {
    let mut world = World::new();
    world.declare([Job::soon("ping").length("2m").sh("echo $ALMANAC_API; cat $ALMANAC_CONFIG; sleep 100")]);
    world.start();
    let run = world.wait_phase("ping", Phase::Running);
    let socket = socket(&world, &run);
    let ask = |method, path| ask(&socket, method, path, b"").unwrap();
    let told = ask("GET", "/run");
    assert_eq!(told.status, 200);
    assert_eq!((&told.body["run"], &told.body["job"]), (&json!(run.key.0), &json!("ping")));
    let facts = fs::read(world.state_dir().join("runs").join(&run.key.0).join("run.json")).unwrap();
    assert_eq!(told.body, serde_json::from_slice::<Value>(&facts).unwrap(), "it is what run.json says");
    let told = ask("GET", "/telemetry");
    assert!(told.status == 200 && told.body.is_object(), "{told:?}");
    for (method, path, status) in [
        ("GET", "/trigger", 404),
        ("GET", "/", 404),
        ("GET", "/kernel", 404),
        ("POST", "/run", 405),
        ("DELETE", "/kernel/sysctl/net.ipv4.tcp_rmem", 405),
        ("GET", "/kernel/sysctl/kernel.core_pattern", 400),
        // Processes have no kernel settings.
        ("GET", "/kernel/sysctl/net.ipv4.tcp_rmem", 403),
        ("PUT", "/kernel/file/proc/sys/vm/swappiness", 400),
    ] {
        let told = ask(method, path);
        assert_eq!(told.status, status, "{method} {path}: {told:?}");
        assert!(!told.error().is_empty(), "{method} {path}: {told:?}");
    }
    assert_eq!(world.reconciler.record().calls.get("kernel"), None, "nothing of this is worth a question");
}

#[test]
fn the_socket_is_there_until_the_run_ends_and_again_after_a_restart() {
    let mut world = World::new();
    world.declare([Job::soon("long")
        .length("2m")
        .sh("while [ ! -e $ALMANAC_ARTIFACTS/end ]; do sleep 0.05; done")]);
    world.start();
    let run = world.wait_phase("long", Phase::Running);
    let (socket, end) =
        (socket(&world, &run), world.state_dir().join("runs").join(&run.key.0).join("artifacts/end"));
    for _ in 0..2 {
        world.wait("an answer", |_| {
            Some(ask(&socket, "GET", "/run", b"").ok()?.status == 200).filter(|well| *well)
        });
        world.kill();
        assert!(connect(&socket).is_err(), "nobody is there");
        world.start();
    }
    world.wait("an answer", |_| ask(&socket, "GET", "/run", b"").ok());
    fs::write(&end, "").unwrap();
    assert_eq!(world.wait_end("long").end(), Some((Phase::Completed, Reason::ExitCode)));
    world.wait("the end of the socket", |_| connect(&socket).is_err().then_some(()));
    world.wait_tidy();
}

#[test]
#[ignore = "needs docker"]
fn a_container_finds_its_socket_and_cannot_touch_it() {
    let mut world = World::with_docker();
    let script = "ls -l /almanac; rm /almanac/api.sock; echo x > /almanac/new; ls /almanac | cat; head -c 20 /almanac/run.json; sleep 100";
    world.declare([Job::soon("ping").length("2m").sh(script)]);
    world.start();
    let run = world.wait_phase("ping", Phase::Running);
    let pid = docker(&["inspect", "--format", "{{.State.Pid}}", &format!("almanac-{}", run.key.0)]);
    let inside = PathBuf::from(format!("/proc/{}/root/almanac/api.sock", pid.trim()));
    let told = ask(&inside, "GET", "/run", b"").unwrap();
    assert_eq!(told.body["run"], json!(run.key.0));
    // The same after a restart, though the socket is another one.
    world.kill();
    world.start();
    world.wait("an answer", |_| ask(&inside, "GET", "/run", b"").ok());
    // Its own hands are tied.
    assert!(fs::write(inside.with_file_name("new"), "").is_err());
    assert!(fs::remove_file(&inside).is_err());
    assert!(fs::metadata(inside.with_file_name("config.yaml")).is_ok());
}

#[test]
fn a_hostile_run_harms_nobody_but_itself() {
    let mut world = World::new();
    let long = |name| Job::soon(name).length("2m").spec("exclusive", json!(false)).sh("sleep 100");
    world.declare([long("hostile"), long("friendly")]);
    world.start();
    let hostile = world.wait_phase("hostile", Phase::Running);
    let friendly = world.wait_phase("friendly", Phase::Running);
    let (enemy, friend) = (socket(&world, &hostile), socket(&world, &friendly));
    let before = descriptors(&world);

    // Thousands that say nothing, or the beginning of something. Beyond what waits for being accepted, they are refused.
    let mut flood: Vec<UnixStream> = Vec::new();
    for index in 0..3_000 {
        let Ok(stream) = connect_at_once(&enemy) else { break };
        flood.push(stream);
        if index % 3 == 0 {
            let _ = flood.last_mut().unwrap().write_all(b"GET /run HTTP/1.1\r\nx: ");
        }
    }
    assert!(flood.len() > 16, "{}", flood.len());
    let during = descriptors(&world);
    assert!(during <= before + 24, "{before} before, {during} with {} connections", flood.len());
    for _ in 0..20 {
        assert_eq!(ask(&friend, "GET", "/run", b"").unwrap().status, 200, "another run is answered");
    }
    drop(flood);
    world.wait("its turn again", |_| {
        Some(ask(&enemy, "GET", "/run", b"").ok()?.status == 200).filter(|well| *well)
    });

    // Garbage, and heads and bodies without end.
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET /run\r\n\r\n".to_vec(),
        [b"GET /".to_vec(), vec![b'a'; 100_000], b" HTTP/1.1\r\n\r\n".to_vec()].concat(),
        [b"GET /run HTTP/1.1\r\n".to_vec(), b"x: y\r\n".repeat(50_000), b"\r\n".to_vec()].concat(),
        b"PUT /kernel/sysctl/net.ipv4.tcp_rmem HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n".to_vec(),
        b"PUT /kernel/sysctl/net.ipv4.tcp_rmem HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n"
            .to_vec(),
        vec![0; 10_000],
    ] {
        let mut stream = connect(&enemy).unwrap();
        let _ = stream.write_all(&garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let told = ask(&enemy, "PUT", "/kernel/sysctl/net.ipv4.tcp_rmem", &vec![b'1'; 100_000]).unwrap();
    assert_eq!(told.status, 413, "{told:?}");

    // Streams take up the places that there are for them, and leave those of the others.
    let mut streams: Vec<UnixStream> = (0..9).map(|_| connect(&enemy).unwrap()).collect();
    let mut statuses = Vec::new();
    for stream in &mut streams {
        stream.write_all(b"GET /telemetry/stream HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        statuses.push(String::from_utf8(start[9..].to_vec()).unwrap());
    }
    assert_eq!(statuses.iter().filter(|status| *status == "200").count(), 8, "{statuses:?}");
    assert_eq!(statuses.last().unwrap(), "503");
    assert_eq!(ask(&enemy, "GET", "/run", b"").unwrap().status, 200);
    // With the run, everything ends that it holds open.
    world.declare([long("friendly")]);
    let cancel = almanac_proto::v1::Instructions {
        cancellations: vec![almanac_proto::v1::Cancellation {
            run_id: hostile.key.0.clone(),
            actor: "alice".to_owned(),
            reason: "hostile".to_owned(),
        }],
        ..Default::default()
    };
    world.reconciler.instruct(&cancel);
    world.wait_end("hostile");
    for stream in &mut streams {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    world.wait("the agent to let go of everything", |world| (descriptors(world) <= before + 2).then_some(()));
}

/// A connection, where it is there at once.
fn connect_at_once(socket: &std::path::Path) -> std::io::Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    use std::os::fd::AsRawFd;
    let folder = fs::File::open(socket.parent().unwrap())?;
    let path = format!("/proc/self/fd/{}/api.sock", folder.as_raw_fd());
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let stream = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&stream, &SocketAddrUnix::new(path.as_str())?)?;
    Ok(UnixStream::from(stream))
}
