//! Remote repositories: real servers, keys and tokens, and networks that fail in every way.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use almanac_reconciler::{
    causes::chain,
    secret::SecretSource,
    source::{Access, Commit, Location, Repository, Target},
};
use almanac_schemas::Size;
use tokio_util::sync::CancellationToken;

use crate::harness::{self, GitHttps, Network, Proxy, SshAgent, Sshd, Testbed, git_https, tool, wait_for};

/// A repository to fetch, and what fetches it.
struct Remote {
    folder: tempfile::TempDir,
    origin: harness::Repository,
}

impl Remote {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let origin = harness::Repository::create(folder.path());
        Self { folder, origin }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn mirror(&self) -> PathBuf {
        self.path().join("almanac.db.mirror.git")
    }

    fn at(&self, address: &str, flags: Access) -> Repository {
        self.branch_at("main", address, flags)
    }

    fn branch_at(&self, branch: &str, address: &str, flags: Access) -> Repository {
        Repository::new(address.parse().unwrap(), branch, "", self.path().join("almanac.db.mirror.git"))
            .reached_by(flags, CancellationToken::new())
    }

    /// The path of the repository as an address, which Git fetches from as from any other.
    fn by_path(&self, flags: Access) -> Repository {
        let location = Location::Remote(self.origin.path().display().to_string());
        Repository::new(location, "main", "", self.path().join("almanac.db.mirror.git"))
            .reached_by(flags, CancellationToken::new())
    }

    /// Runs Git in the mirror.
    fn git(&self, args: &[&str]) -> String {
        let mirror = self.mirror();
        tool(self.path(), "git", &[&["--git-dir", mirror.to_str().unwrap()], args].concat())
    }

    /// What an earlier fetch that was killed would leave behind.
    fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mut folders = vec![self.mirror()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string().unwrap();
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else if name.starts_with("tmp_") || name.ends_with(".lock") || name.ends_with(".keep") {
                    left.push(name);
                }
            }
        }
        left
    }

    /// The sizes of the packs of the mirror, in sum.
    fn packed(&self) -> u64 {
        let packs = fs::read_dir(self.mirror().join("objects/pack")).into_iter().flatten().flatten();
        packs.map(|pack| pack.metadata().unwrap().len()).sum()
    }
}

/// Bytes that no compression makes smaller.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut step = || {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes.div_ceil(8)).flat_map(|_| step()).collect()
}

async fn look(mut repository: Repository) -> Result<Commit, String> {
    let look = move || repository.find(&Target::Branch).map_err(|error| chain(&error));
    tokio::task::spawn_blocking(look).await.unwrap()
}

async fn id(repository: Repository) -> String {
    look(repository).await.unwrap().id
}

async fn refusal(repository: Repository) -> String {
    look(repository).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs sshd and root"]
async fn ssh_takes_known_hosts_and_known_keys_alone() {
    let remote = Remote::new();
    let commit = remote.origin.push("first");
    let mut sshd = Sshd::start(remote.path()).await;
    let flags = |key: &str| Access {
        ssh_key: Some(sshd.key(key)),
        known_hosts: Some(sshd.known_hosts()),
        ..Access::default()
    };
    let (client, stranger) = (flags("client"), flags("stranger"));
    let address = sshd.address(remote.origin.path());
    assert_eq!(id(remote.at(&address, client.clone())).await, commit);
    let said = refusal(remote.at(&address, stranger)).await;
    assert!(said.contains("does not let the reconciler in") && said.contains("--git-ssh-key"), "{said}");
    let said = refusal(remote.at(&sshd.address(Path::new("/nowhere.git")), client.clone())).await;
    assert!(said.contains("no such repository"), "{said}");
    let elsewhere = remote.branch_at("nosuch", &address, client.clone());
    let said = refusal(elsewhere).await;
    assert!(said.contains("no branch `nosuch`; there is `main`"), "{said}");

    // Nothing is learnt by itself: an unknown host stays unknown.
    let nobody = remote.path().join("nobody");
    let unknown = Access { known_hosts: Some(nobody.clone()), ..client.clone() };
    for _ in 0..2 {
        let said = refusal(remote.at(&address, unknown.clone())).await;
        assert!(said.contains("is not known") && said.contains("ssh-keyscan"), "{said}");
        assert!(said.contains(nobody.to_str().unwrap()), "{said}");
    }
    assert!(!nobody.exists());

    sshd.change_host_key().await;
    let said = refusal(remote.at(&sshd.address(remote.origin.path()), client)).await;
    assert!(said.contains("another one than") && said.contains("known_hosts"), "{said}");
    assert!(said.contains("somebody is in between"), "{said}");
}

/// The whole program: the agent is found by the environment.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs sshd and root"]
async fn ssh_takes_a_key_that_an_agent_holds() {
    let mut testbed = Testbed::prepare();
    let commit = testbed.repository.push("users and nodes");
    let sshd = Sshd::start(testbed.folder()).await;
    let address = sshd.address(testbed.repository.path());
    let agent = SshAgent::start(testbed.folder()).await;
    let serve = || {
        let mut command = testbed.command(&["serve", "--poll-interval", "1h", "--listen", "127.0.0.1:0"]);
        command.args(["--repo", &address]).arg("--git-known-hosts").arg(sshd.known_hosts());
        command.env("SSH_AUTH_SOCK", agent.socket());
        command
    };
    let refused = serve();
    let followed = serve();
    agent.hold(&sshd.key("stranger"));
    testbed.spawn("http", refused).await;
    let said = testbed
        .wait_for("the server to refuse the agent's key", async || {
            let log = testbed.log();
            log.contains("does not let the reconciler in").then_some(log)
        })
        .await;
    for part in ["cannot fetch", "ssh://root@127.0.0.1", "SSH_AUTH_SOCK", "ssh-add", "--git-ssh-key"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(testbed.take_daemon().terminate().await.success());

    // The key is in memory alone.
    agent.hold(&sshd.key("client"));
    fs::remove_file(sshd.key("client")).unwrap();
    testbed.spawn("http", followed).await;
    testbed.wait_applied(&commit).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and fcgiwrap"]
async fn https_takes_a_password_or_a_token_from_a_file() {
    let remote = Remote::new();
    let commit = remote.origin.push("first");
    let server = GitHttps::start(remote.path()).await;
    let ca = Access { ca_file: Some(server.authority()), ..Access::default() };
    let with = |secret: &Path, user: Option<&str>, bearer| Access {
        token: Some(SecretSource::File(secret.to_owned())),
        username: user.map_or_else(|| Access::default().username, str::to_owned),
        bearer,
        ..ca.clone()
    };
    let open = server.address("open", "testbed.git");
    assert_eq!(id(remote.at(&open, ca.clone())).await, commit);
    let said = refusal(remote.at(&open, Access::default())).await;
    assert!(said.contains("certificate") && said.contains("--git-ca-file"), "{said}");
    let said = refusal(remote.at(&server.address("open", "nowhere.git"), ca.clone())).await;
    assert!(said.contains("no such repository"), "{said}");

    let basic = server.address("basic", "testbed.git");
    let password = server.secret("password", git_https::PASSWORD);
    let user = Some(git_https::USER);
    assert_eq!(id(remote.at(&basic, with(&password, user, false))).await, commit);
    let named = basic.replace("https://", "https://alice@");
    assert_eq!(id(remote.at(&named, with(&password, None, false))).await, commit);
    for flags in [ca.clone(), with(&password, Some("mallory"), false)] {
        let said = refusal(remote.at(&basic, flags)).await;
        assert!(said.contains("does not let the reconciler in") && said.contains("--git-token"), "{said}");
        assert!(!said.contains(git_https::PASSWORD), "{said}");
    }

    let bearer = server.address("bearer", "testbed.git");
    let token = server.secret("token", git_https::TOKEN);
    assert_eq!(id(remote.at(&bearer, with(&token, None, true))).await, commit);
    // The file is read for every fetch, so a token that was exchanged counts at once.
    server.secret("token", "expired");
    let said = refusal(remote.at(&bearer, with(&token, None, true))).await;
    assert!(said.contains("does not let the reconciler in") && !said.contains("expired "), "{said}");
    server.secret("token", git_https::TOKEN);
    assert_eq!(id(remote.at(&bearer, with(&token, None, true))).await, commit);

    // No secret was written down.
    let secrets = [git_https::PASSWORD, git_https::TOKEN];
    let config = fs::read_to_string(remote.mirror().join("config")).unwrap();
    assert!(secrets.iter().all(|secret| !config.contains(secret)), "{config}");
}

/// What happens to a secret while Git runs: the arguments of all processes are for everybody to see.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and fcgiwrap"]
async fn a_secret_is_in_no_argument_of_any_process() {
    let remote = Remote::new();
    remote.origin.push("first");
    let server = GitHttps::start(remote.path()).await;
    let proxy = Proxy::to(server.port()).await;
    proxy.is(Network::SilentAfter(0));
    let address = format!("https://127.0.0.1:{}/basic/testbed.git", proxy.port());
    let stop = CancellationToken::new();
    let flags = Access {
        token: Some(SecretSource::File(server.secret("password", git_https::PASSWORD))),
        ca_file: Some(server.authority()),
        ..Access::default()
    };
    let repository =
        Repository::new(address.parse().unwrap(), "main", "", remote.path().join("almanac.db.mirror.git"))
            .reached_by(flags, stop.clone());
    let looking = tokio::spawn(look(repository));
    let commands = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let commands = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        commands.map(|line| String::from_utf8_lossy(&line).into_owned()).collect::<Vec<_>>()
    };
    let ours = format!(":{}/", proxy.port());
    let helper = |line: &String| line.contains("remote-https") && line.contains(&ours);
    wait_for("git-remote-https to run", async || commands().iter().any(helper).then_some(())).await;
    assert!(commands().iter().all(|line| !line.contains(git_https::PASSWORD)));
    // Stopping the reconciler ends what is under way, with all that belongs to it.
    stop.cancel();
    let said = looking.await.unwrap().unwrap_err();
    assert!(said.contains("stopping"), "{said}");
    assert!(!commands().iter().any(helper));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and fcgiwrap"]
async fn a_second_fetch_brings_what_is_new() {
    let remote = Remote::new();
    remote.origin.write("large.bin", noise(1, 4 << 20));
    remote.origin.push("large");
    let server = GitHttps::start(remote.path()).await;
    let ca = Access { ca_file: Some(server.authority()), ..Access::default() };
    let address = server.address("open", "testbed.git");
    id(remote.at(&address, ca.clone())).await;
    let before = remote.packed();
    assert!(before > 4 << 20);
    remote.origin.write("small.txt", "small\n");
    let commit = remote.origin.push("small");
    assert_eq!(id(remote.at(&address, ca)).await, commit);
    let brought = remote.packed() - before;
    assert!(brought < 8 << 10, "{brought} bytes for a file of 6");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and fcgiwrap"]
async fn a_bad_network_fails_in_time_and_the_next_look_recovers() {
    let remote = Remote::new();
    remote.origin.push("first");
    let server = GitHttps::start(remote.path()).await;
    let proxy = Proxy::to(server.port()).await;
    let address = format!("https://127.0.0.1:{}/open/testbed.git", proxy.port());
    let timeout = 2;
    let flags = Access {
        ca_file: Some(server.authority()),
        timeout: Duration::from_secs(timeout),
        ..Access::default()
    };
    let patient = Access { timeout: Access::default().timeout, ..flags.clone() };
    id(remote.at(&address, patient.clone())).await;
    for (number, network) in
        [Network::SilentAfter(0), Network::Dripping, Network::CutAfter(1 << 20)].into_iter().enumerate()
    {
        remote.origin.write("large.bin", noise(number as u64 + 2, 4 << 20));
        let commit = remote.origin.push("large");
        let before = remote.packed();
        proxy.is(network);
        let begun = Instant::now();
        let cut = matches!(network, Network::CutAfter(_));
        let said = refusal(remote.at(&address, if cut { patient.clone() } else { flags.clone() })).await;
        let expected = if cut { "ended the connection" } else { "longer than 2 s" };
        assert!(said.contains(expected) && said.contains("cannot fetch"), "{said}");
        // Ending what runs takes a moment on a busy machine.
        assert!(cut || begun.elapsed() < Duration::from_secs(timeout * 5), "{:?}", begun.elapsed());
        assert_eq!((remote.packed(), remote.leftovers()), (before, Vec::new()));
        proxy.is(Network::Good);
        assert_eq!(id(remote.at(&address, patient.clone())).await, commit);
    }
}

/// A connection that goes silent in the midst of it is given up long before the whole fetch would be.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx, fcgiwrap, sshd and root"]
async fn a_connection_that_goes_silent_is_given_up_early() {
    let remote = Remote::new();
    remote.origin.push("first");
    let server = GitHttps::start(remote.path()).await;
    let sshd = Sshd::start(remote.path()).await;
    let (https, ssh) = (Proxy::to(server.port()).await, Proxy::to(sshd.port()).await);
    let sshd = sshd.through(ssh.port());
    let patient = Access {
        ca_file: Some(server.authority()),
        ssh_key: Some(sshd.key("client")),
        known_hosts: Some(sshd.known_hosts()),
        timeout: Duration::from_secs(3600),
        ..Access::default()
    };
    let hasty = Access { idle: Duration::from_secs(3), ..patient.clone() };
    let addresses = [
        (&https, format!("https://127.0.0.1:{}/open/testbed.git", https.port())),
        (&ssh, sshd.address(remote.origin.path())),
    ];
    for (number, (proxy, address)) in (0..).zip(&addresses) {
        id(remote.at(address, patient.clone())).await;
        remote.origin.write("large.bin", noise(10 << number, 4 << 20));
        let commit = remote.origin.push("large");
        let before = remote.packed();
        proxy.is(Network::SilentAfter(1 << 20));
        let begun = Instant::now();
        let said = refusal(remote.at(address, hasty.clone())).await;
        assert!(begun.elapsed() < patient.idle, "{:?}", begun.elapsed());
        assert!(said.contains("said nothing for 3 s; check"), "{said}");
        assert_eq!((remote.packed(), remote.leftovers()), (before, Vec::new()));
        proxy.is(Network::Good);
        assert_eq!(id(remote.at(address, patient.clone())).await, commit);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_says_what_to_do() {
    let remote = Remote::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [format!("https://{closed}/a.git"), format!("ssh://git@{closed}/a.git")] {
        let said = refusal(remote.at(&address, Access::default())).await;
        assert!(said.contains("does not answer") && said.contains(&closed.to_string()), "{said}");
    }
    let token = Access { token: Some("env:ALMANAC_NOT_SET".parse().unwrap()), ..Access::default() };
    let said = refusal(remote.at("https://example.invalid/a.git", token.clone())).await;
    assert!(said.contains("`ALMANAC_NOT_SET` is not set"), "{said}");
    let said = refusal(remote.at("http://example.invalid/a.git", token)).await;
    assert!(said.contains("use an https:// address"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_grows_too_large_is_cut_back() {
    let remote = Remote::new();
    let first = remote.origin.push("small");
    let flags = Access { max_size: Size::from_bytes(2 << 20), ..Access::default() };
    assert_eq!(id(remote.by_path(flags.clone())).await, first);
    let before = remote.packed();
    remote.origin.write("large.bin", noise(1, 16 << 20));
    let second = remote.origin.push("large");
    let said = refusal(remote.by_path(flags.clone())).await;
    assert!(said.contains("more than 2MiB") && said.contains("--max-repository-size"), "{said}");
    assert_eq!((remote.packed(), remote.leftovers()), (before, Vec::new()));
    // What had been fetched is whole.
    remote.git(&["fsck", "--full", "--strict"]);
    assert_eq!(remote.git(&["rev-parse", "main"]), first);

    assert_eq!(id(remote.by_path(Access::default())).await, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_fetch_left_behind_stops_nobody() {
    let remote = Remote::new();
    remote.origin.push("first");
    id(remote.by_path(Access::default())).await;
    for file in [
        "refs/heads/main.lock",
        "refs/almanac/fetched.lock",
        "packed-refs.lock",
        "shallow.lock",
        "config.lock",
        "objects/pack/tmp_pack_0",
        "objects/pack/pack-0.keep",
    ] {
        fs::write(remote.mirror().join(file), "").unwrap();
    }
    let commit = remote.origin.push("second");
    assert_eq!(id(remote.by_path(Access::default())).await, commit);
    assert_eq!(remote.leftovers(), Vec::<String>::new());
}

/// Neither the user's configuration nor the repository gets to run anything.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_run_because_of_a_repository() {
    let remote = Remote::new();
    remote.origin.push("first");
    id(remote.by_path(Access::default())).await;
    let marker = remote.path().join("ran");
    let script = format!("#!/bin/sh\ntouch {}\n", marker.display());
    let hooks = remote.mirror().join("hooks");
    fs::create_dir_all(&hooks).unwrap();
    for hook in ["reference-transaction", "post-update", "pre-auto-gc", "post-rewrite"] {
        let path = hooks.join(hook);
        fs::write(&path, &script).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, executable).unwrap();
    }
    let commit = remote.origin.push("second");
    assert_eq!(id(remote.by_path(Access::default())).await, commit);
    assert!(!marker.exists());
    // An address that the configuration turns into a program.
    let ran = format!("ext::touch {}", marker.display());
    remote.git(&["config", &format!("url.{ran}.insteadOf"), remote.origin.path().to_str().unwrap()]);
    let said = refusal(remote.by_path(Access::default())).await;
    assert!(said.contains("transport 'ext' not allowed"), "{said}");
    assert!(!marker.exists());
}

/// The whole program, by flags: it follows a private repository, and its log tells no secret.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and fcgiwrap"]
async fn the_reconciler_follows_a_private_repository() {
    let mut testbed = Testbed::prepare();
    let commit = testbed.repository.push("users and nodes");
    let server = GitHttps::start(testbed.folder()).await;
    let token = format!("file:{}", server.secret("token", git_https::TOKEN).display());
    let authority = server.authority();
    let address = server.address("bearer", "testbed.git");
    testbed
        .serve_with(
            "http",
            &[
                "--listen",
                "127.0.0.1:0",
                "--repo",
                &address,
                "--git-token",
                &token,
                "--git-bearer",
                "--git-ca-file",
                authority.to_str().unwrap(),
                "--log",
                "trace",
            ],
        )
        .await;
    testbed.wait_applied(&commit).await;
    assert!(!testbed.log().contains(git_https::TOKEN));
}
