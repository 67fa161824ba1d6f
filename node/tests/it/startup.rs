//! An agent that cannot start says why, names the place, and says what to do.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use almanac_proto::identity;

use crate::harness::{World, command, output};

/// Runs an agent that should not come up, and returns what it says.
fn refusal(command: Command) -> String {
    let text = format!("{command:?}");
    let done = output(command);
    assert_eq!(done.status.code(), Some(2), "{text}: {done:?}");
    assert!(done.stdout.is_empty(), "standard output is for data");
    String::from_utf8(done.stderr).unwrap()
}

/// The arguments of an agent that would start, with one of them replaced.
fn with(world: &World, name: &str, value: &str) -> Command {
    let usual = world.command();
    let mut arguments: Vec<_> = usual.get_args().map(|argument| argument.to_owned()).collect();
    let place = arguments.iter().position(|argument| argument == name).unwrap();
    arguments[place + 1] = value.into();
    let mut changed = command();
    changed.args(arguments);
    changed
}

#[test]
fn the_key_file() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();

    let missing = refusal(with(&world, "--key", &path("missing")));
    assert!(missing.contains(&path("missing")) && missing.contains("No such file"), "{missing}");

    identity::generate(&folder.path().join("good"), "x").unwrap();
    let public = refusal(with(&world, "--key", &path("good.pub")));
    assert!(public.contains("public key") && public.contains(".pub"), "{public}");

    fs::set_permissions(path("good"), fs::Permissions::from_mode(0o640)).unwrap();
    let open = refusal(with(&world, "--key", &path("good")));
    assert!(open.contains("can be read by others") && open.contains("chmod 600"), "{open}");

    fs::write(path("encrypted"), ENCRYPTED).unwrap();
    fs::set_permissions(path("encrypted"), fs::Permissions::from_mode(0o600)).unwrap();
    let encrypted = refusal(with(&world, "--key", &path("encrypted")));
    assert!(encrypted.contains("passphrase") && encrypted.contains("ssh-keygen"), "{encrypted}");

    fs::write(path("nonsense"), "nonsense").unwrap();
    fs::set_permissions(path("nonsense"), fs::Permissions::from_mode(0o600)).unwrap();
    let nonsense = refusal(with(&world, "--key", &path("nonsense")));
    assert!(nonsense.contains("OpenSSH private key"), "{nonsense}");
}

#[test]
fn the_address_of_the_reconciler() {
    let world = World::new();
    for bad in ["example.org:7600", "ftp://example.org", "http://", ""] {
        let said = refusal(with(&world, "--server", bad));
        assert!(said.contains(&format!("`{bad}`")) && said.contains("http://HOST:PORT"), "{said}");
    }
    let plain = refusal(with(&world, "--server", "http://example.org:7600"));
    assert!(plain.contains("not encrypted") && plain.contains("https://"), "{plain}");

    let mut authority = with(&world, "--server", "https://127.0.0.1:1");
    authority.args(["--ca-file", "/no/such/ca.pem"]);
    let said = refusal(authority);
    assert!(said.contains("/no/such/ca.pem"), "{said}");
}

#[test]
fn the_name_of_the_node() {
    let world = World::new();
    let said = refusal(with(&world, "--name", "London 01"));
    assert!(said.contains("--name") && said.contains("is not one of a-z"), "{said}");
}

#[test]
fn what_must_be_given() {
    let mut bare = command();
    bare.arg("run");
    let said = refusal(bare);
    assert!(said.contains("--name"), "{said}");
}

#[test]
fn a_state_folder_that_cannot_be_written() {
    let world = World::new();
    // Also root cannot make a folder in a file.
    let file = world.path("file");
    fs::write(&file, "").unwrap();
    let state = file.join("state").display().to_string();
    let said = refusal(with(&world, "--state-dir", &state));
    assert!(said.contains(&state) && said.contains("--state-dir"), "{said}");
}

#[test]
fn a_state_folder_that_another_agent_uses() {
    let mut world = World::new();
    world.declare([]);
    world.start();
    world.wait_followed();
    let said = refusal(world.command());
    let state = world.state_dir().display().to_string();
    assert!(said.contains("another agent") && said.contains(&state), "{said}");
    // The other one is not disturbed, and a killed one leaves no lock behind.
    world.declare([]);
    world.wait_followed();
    world.kill();
    world.start();
    world.declare([]);
    world.wait_followed();
}

#[test]
fn a_journal_of_a_newer_agent() {
    let mut world = World::new();
    world.declare([]);
    world.start();
    world.wait_followed();
    world.terminate();
    let journal = world.state_dir().join("journal.sqlite");
    let migration = "INSERT INTO _sqlx_migrations VALUES (9999, 'x', 0, 1, x'00', 0)";
    let done = Command::new("sqlite3").arg(&journal).arg(migration).output().expect("install sqlite3");
    assert!(done.status.success(), "{done:?}");
    let said = refusal(world.command());
    assert!(said.contains(journal.to_str().unwrap()) && said.contains("newer agent"), "{said}");
    assert!(
        !fs::read_dir(world.state_dir())
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().contains("corrupt") })
    );
}

#[test]
fn an_engine_that_does_not_run() {
    let world = World::new();
    let socket = world.path("no-such.sock").display().to_string();
    let mut docker = with(&world, "--runtime", "docker");
    docker.env("DOCKER_HOST", format!("unix://{socket}"));
    let said = refusal(docker);
    assert!(said.contains(&socket), "it names the socket: {said}");
    assert!(said.contains("--runtime process"), "it names the way out: {said}");
}

#[test]
fn the_configuration_file() {
    let world = World::new();
    let file = world.path("agent.toml");
    let with_file = || {
        let mut bare = command();
        bare.arg("run").arg("--config").arg(&file);
        refusal(bare)
    };
    let place = file.display().to_string();
    let missing = with_file();
    assert!(missing.contains(&place) && missing.contains("No such file"), "{missing}");
    fs::write(&file, "name = \"london-01\"\nsevrer = \"http://127.0.0.1:7600\"\n").unwrap();
    let unknown = with_file();
    assert!(
        unknown.contains(&place) && unknown.contains("sevrer") && unknown.contains("server"),
        "{unknown}"
    );
    fs::write(&file, "name = \"london-01\"\n").unwrap();
    let incomplete = with_file();
    assert!(incomplete.contains("--server"), "{incomplete}");
}

#[test]
fn a_log_filter_that_makes_no_sense() {
    let world = World::new();
    let mut command = world.command();
    command.args(["--log", "almanac_node=loud"]);
    let said = refusal(command);
    assert!(said.contains("almanac_node=loud"), "{said}");
}

/// A key that was made for this test and is declared nowhere.
const ENCRYPTED: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABCtdPwxZ9
LwIWzDld7ox+H6AAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAILOuwhrx3CJO+2sf
sXpaQzR4FAUnqmMll+j72Uccl96nAAAAkOqGQo1iyXjPLjpitMMuYj4YTqtmaweIYYQ/yT
/EJhVgZZwmGwIg3acCUQg7qsrPQ8JCv/biPtck1OAmzhuRn/h2iOqHyPeL/jPnsqiyO6D9
ylykAZAOPpbWjVA7wUG3K4clG8Xeb5DRbfAHxIDzb7DCt5An8tsCcnTDg/lv5fyClh2r8L
FPILm3eyXbSeelPQ==
-----END OPENSSH PRIVATE KEY-----
";
