//! What is secret is in nothing that the program says, at any level of its log.

use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use almanac_proto::{limits, v1};
use axum::{Router, http::HeaderMap, http::StatusCode};
use chrono::Utc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Request, metadata::MetadataValue, transport::Channel};

use crate::harness::{Certificate, Ended, GitHttps, Looked, Replica, Testbed, git_https};

/// What is given where a secret may be given.
const CANARY: &str = "canary-5f1c0d9e";

/// Everything that the program said, and what must not be in it.
#[derive(Default)]
struct Said {
    secrets: Vec<String>,
    texts: Vec<(String, String)>,
}

impl Said {
    fn add(&mut self, what: &str, text: impl std::fmt::Debug) {
        self.texts.push((what.to_owned(), format!("{text:?}")));
    }

    fn assert_clean(&self) {
        for (what, text) in &self.texts {
            for secret in &self.secrets {
                if let Some(at) = text.find(secret.as_str()) {
                    let begin = text.floor_char_boundary(at.saturating_sub(200));
                    panic!("a secret is in {what}: ...{}", &text[begin..at]);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_secret_is_in_no_log_error_plan_answer_or_metric() {
    let mut testbed = Testbed::prepare();
    let secret = testbed.folder().join("weather.key");
    fs::write(&secret, CANARY).unwrap();
    let config = format!(
        "apiVersion: almanac/v1\nkind: Config\nmetadata: {{ name: global }}\nspec:\n  artifacts:\n    \
         credentials: {{ connectionString: {{ fromEnv: ALMANAC_TEST_SECRET }} }}\n  \
         weather: {{ url: \"https://example.org\", apiKey: {{ fromFile: {} }} }}\n",
        secret.display()
    );
    testbed.repository.write("config.yaml", config);
    let commit = testbed.repository.push("users, nodes and settings");
    let mut command = testbed.command(&["serve", "--poll-interval", "1h", "--listen", "127.0.0.1:0"]);
    command.args(["--log", "trace"]).env("ALMANAC_TEST_SECRET", CANARY);
    testbed.spawn("http", command).await;
    testbed.wait_applied(&commit).await;

    let token = |name: &str| {
        let identity = testbed.identity(name, name, limits::DEFAULT_AUDIENCE);
        identity.token(Utc::now()).unwrap()
    };
    let signature = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    let good = token("alice");
    let mut said = Said { secrets: vec![CANARY.to_owned(), signature(&good)], ..Said::default() };

    let channel = Channel::from_shared(testbed.address().to_owned()).unwrap().connect().await.unwrap();
    let who = async |authorization: String| {
        let mut client = v1::testbed_service_client::TestbedServiceClient::new(channel.clone());
        let mut request = Request::new(v1::WhoAmIRequest {});
        request.metadata_mut().insert("authorization", MetadataValue::try_from(authorization).unwrap());
        client.who_am_i(request).await
    };
    said.add("an answer", who(format!("Bearer {good}")).await.unwrap());
    let (head, body) = good.split_once('.').unwrap();
    for bad in [
        format!("Bearer {CANARY}"),
        CANARY.to_owned(),
        format!("Basic {CANARY}"),
        format!("Bearer {head}.{CANARY}"),
        format!("Bearer {head}.{body}{CANARY}"),
        format!("Bearer {CANARY}.{body}"),
    ] {
        said.add("an error", who(bad).await.unwrap_err());
    }
    // Over HTTP/1.1, where no token is expected, and in a path that does not exist.
    let mut stream = TcpStream::connect(testbed.socket()).await.unwrap();
    let request = format!(
        "GET /readyz?token={CANARY} HTTP/1.1\r\nHost: almanac\r\nAuthorization: Bearer {CANARY}\r\nCookie: {CANARY}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    said.add("an answer over HTTP", answer);

    let mut alice = testbed.ask("alice");
    said.add("a plan", Looked::at(&mut alice, "").await.unwrap());
    said.add("the status", alice.get_sync_status(v1::GetSyncStatusRequest {}).await.unwrap());
    said.add("the nodes", alice.list_nodes(v1::ListNodesRequest::default()).await.unwrap());
    for path in ["/metrics", "/readyz?verbose", "/healthz"] {
        said.add(path, testbed.get(path).await);
    }
    let log = testbed.log();
    assert!(log.contains("TRACE") && log.contains("WhoAmI"), "the log is as loud as it can be");
    testbed.take_daemon().terminate().await;
    said.add("the log", log);
    said.assert_clean();
    let shown =
        said.texts.iter().any(|(what, text)| what == "a plan" && text.contains("ALMANAC_TEST_SECRET"));
    assert!(shown, "where the secret is to be found is no secret");
}

#[tokio::test]
async fn the_key_of_the_certificate_is_not_said() {
    let mut testbed = Testbed::prepare();
    testbed.repository.push("users and nodes");
    let served = Certificate::make(testbed.folder(), "ours");
    let key = fs::read_to_string(&served.key).unwrap();
    let mut said = Said::default();
    said.secrets.extend(key.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    assert!(!said.secrets.is_empty());
    let flags = [&["--listen", "127.0.0.1:0", "--log", "trace"], &served.flags()[..]].concat();
    testbed.serve_with("https", &flags).await;
    // A broken pair is an error, and says so without what is in the files.
    fs::write(&served.certificate, &key).unwrap();
    testbed
        .wait_for("the broken pair to be noticed", async || {
            testbed.log().contains("cannot be used").then_some(())
        })
        .await;
    said.add("the log", testbed.log());
    let ended = Ended::of(testbed.command(&["config", "check"]).args(served.flags()));
    said.add("the check", (ended.stdout, ended.stderr));
    said.assert_clean();
}

#[test]
fn passwords_of_addresses_are_not_said() {
    let testbed = Testbed::prepare();
    let program = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_almanac-reconciler"));
        command.args(arguments).current_dir(testbed.folder());
        command
    };
    let mut said = Said { secrets: vec![CANARY.to_owned()], ..Said::default() };
    let mut add = |command: &mut Command| {
        let ended = Ended::of(command);
        said.add(
            &format!("{command:?} with code {:?}", ended.code).replace(CANARY, "(it)"),
            (ended.stdout, ended.stderr),
        );
    };
    let file = testbed.folder().join("reconciler.toml");
    let repo = format!("https://user:{CANARY}@127.0.0.1:1/testbed.git");
    let database = format!("postgres://almanac:{CANARY}@127.0.0.1:1/almanac");
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--format", "json"],
        &["config", "check"],
        &["sync", "--once", "--log", "trace"],
        &["serve", "--listen", "127.0.0.1:0", "--log", "trace"],
        &["serve", "--help"],
    ] {
        fs::write(&file, format!("repo = \"{repo}\"\ndatabase = \"{database}\"\n")).unwrap();
        add(program(arguments).arg("--config").arg(&file));
        add(program(arguments)
            .env("ALMANAC_RECONCILER_REPO", &repo)
            .env("ALMANAC_RECONCILER_DATABASE", &database)
            .env("ALMANAC_RECONCILER_OTLP_ENDPOINT", format!("ftp://user:{CANARY}@example.org")));
        // A file that is not TOML, just there.
        fs::write(&file, format!("database = {database}\n")).unwrap();
        add(program(arguments).arg("--config").arg(&file));
    }
    // The repository fails, at every level of the log.
    let local = testbed.database().to_owned();
    add(program(&["sync", "--once", "--log", "trace", "--database", &local])
        .env("ALMANAC_RECONCILER_REPO", &repo));
    said.assert_clean();
    let refused = Ended::refusal(&mut program(&["config", "check", "--repo", "/a", "--database", &database]));
    assert!(refused.contains("ALMANAC_RECONCILER_DATABASE"), "{refused}");
}

/// A receiver that refuses everything, and repeats all that it was told.
async fn echo() -> (String, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let answer = async move |headers: HeaderMap, body: String| {
        counted.fetch_add(1, Ordering::Relaxed);
        (StatusCode::FORBIDDEN, format!("{headers:?} {body}"))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    (address, asked)
}

#[tokio::test]
async fn the_secrets_of_forges_and_receivers_are_not_said() {
    let mut testbed = Testbed::prepare();
    let commit = testbed.repository.push("users and nodes");
    let secrets: Vec<String> = (0..8).map(|number| format!("{CANARY}-{number}")).collect();
    let file = |name: &str, secret: &str| {
        let path = testbed.folder().join(name);
        fs::write(&path, format!("{secret}\n")).unwrap();
        format!("file:{}", path.display())
    };
    let (receiver, asked) = echo().await;
    let mut config = format!(
        "webhook-github = \"{}\"\nwebhook-gitlab = \"env:HOOK_GITLAB\"\nwebhook-gitea = \"{}\"\nwebhook-generic = \"env:HOOK_GENERIC\"\n",
        file("github", &secrets[0]),
        file("gitea", &secrets[2]),
    );
    for (kind, source) in [
        ("github", file("to-github", &secrets[4])),
        ("gitlab", "env:TO_GITLAB".to_owned()),
        ("gitea", file("to-gitea", &secrets[6])),
        ("webhook", "env:TO_WEBHOOK".to_owned()),
    ] {
        let repository = if kind == "webhook" { "" } else { "repository = \"surrey/testbed\"\n" };
        config.push_str(&format!(
            "[[notify]]\nname = \"{kind}\"\nkind = \"{kind}\"\nurl = \"{receiver}\"\nsecret = \"{source}\"\n{repository}"
        ));
    }
    let path = testbed.folder().join("reconciler.toml");
    fs::write(&path, config).unwrap();
    let with_secrets = |command: &mut Command| {
        for (name, number) in [("HOOK_GITLAB", 1), ("HOOK_GENERIC", 3), ("TO_GITLAB", 5), ("TO_WEBHOOK", 7)] {
            command.env(name, &secrets[number]);
        }
        command.arg("--config").arg(&path);
    };
    let mut said = Said { secrets: vec![CANARY.to_owned()], ..Said::default() };
    for arguments in [&["config", "show"][..], &["config", "show", "--format", "json"], &["config", "check"]]
    {
        let mut command = testbed.command(arguments);
        with_secrets(&mut command);
        let ended = Ended::of(&mut command);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        said.add(&format!("{arguments:?}"), (ended.stdout, ended.stderr));
    }
    let mut command = testbed.command(&["serve", "--poll-interval", "1h", "--listen", "127.0.0.1:0"]);
    with_secrets(command.args(["--log", "trace"]));
    testbed.spawn("http", command).await;
    testbed.wait_applied(&commit).await;
    // Whatever stands in a header, with a good secret, with a wrong one, and where no secret belongs.
    for forge in ["github", "gitlab", "gitea", "generic", "nobody"] {
        for secret in [&secrets[1], &format!("{CANARY}-wrong")] {
            let mut stream = TcpStream::connect(testbed.socket()).await.unwrap();
            let request = format!(
                "POST /hooks/{forge}?token={secret} HTTP/1.1\r\nHost: almanac\r\nX-Gitlab-Token: {secret}\r\nX-Hub-Signature-256: sha256={secret}\r\n\
                 X-Gitea-Signature: {secret}\r\nX-Almanac-Signature-256: sha256={secret}\r\nX-Gitlab-Event: Push Hook\r\nIdempotency-Key: {forge}-1\r\n\
                 Connection: close\r\nContent-Length: {}\r\n\r\n{secret}",
                secret.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            said.add(&format!("an answer to {forge}"), answer);
        }
    }
    testbed
        .wait_for("all targets to have refused", async || {
            let log = testbed.log();
            let refused = |kind: &&str| log.contains(&format!("to=\"{kind}\" attempts=1"));
            (["github", "gitlab", "gitea", "webhook"].iter().filter(|kind| refused(kind)).count() == 4)
                .then_some(())
        })
        .await;
    assert!(asked.load(Ordering::Relaxed) >= 4);
    said.add("the status", testbed.status().await);
    said.add("the metrics", testbed.get("/metrics").await);
    said.add("the log", testbed.log());
    said.assert_clean();
}

#[tokio::test]
#[ignore = "needs nginx and fcgiwrap"]
async fn the_secrets_of_the_repository_are_not_said() {
    let testbed = Testbed::prepare();
    testbed.repository.push("users and nodes");
    let server = GitHttps::start(testbed.folder()).await;
    let key = fs::read_to_string(testbed.folder().join("alice")).unwrap();
    let mut said =
        Said { secrets: vec![CANARY.to_owned(), git_https::PASSWORD.to_owned()], ..Said::default() };
    said.secrets.push(git_https::TOKEN.to_owned());
    said.secrets.extend(key.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
    let file = |name: &str, secret: &str| format!("file:{}", server.secret(name, secret).display());
    let (wrong, right) = (file("wrong", CANARY), file("right", git_https::PASSWORD));
    let mut add = |address: &str, code: i32, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_almanac-reconciler"));
        command.args([
            "sync",
            "--once",
            "--log",
            "trace",
            "--repo",
            address,
            "--git-username",
            git_https::USER,
        ]);
        command.env("ALMANAC_RECONCILER_DATABASE", testbed.database()).env("WRONG", CANARY);
        command.env("RIGHT", git_https::TOKEN).arg("--data-dir").arg(testbed.folder().join("data"));
        command.arg("--git-ca-file").arg(server.authority()).args(more);
        let ended = Ended::of(&mut command);
        assert_eq!(ended.code, Some(code), "{address} {more:?}: {}", ended.stderr);
        said.add(&format!("{address} {more:?}"), (ended.stdout, ended.stderr));
    };
    let (basic, bearer) = (server.address("basic", "testbed.git"), server.address("bearer", "testbed.git"));
    add(&basic, 2, &["--git-token", &wrong]);
    add(&basic, 2, &["--git-token", "env:WRONG"]);
    add(&bearer, 2, &["--git-token", &wrong, "--git-bearer"]);
    add(&bearer, 0, &["--git-token", "env:RIGHT", "--git-bearer"]);
    add(&basic, 0, &["--git-token", &right]);
    add(&basic.replace("https://", &format!("https://{CANARY}@")), 2, &["--git-token", &wrong]);
    let broken = testbed.folder().join("broken");
    fs::write(&broken, format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n")).unwrap();
    for key in [testbed.folder().join("alice"), broken] {
        add("ssh://git@127.0.0.1:1/testbed.git", 2, &["--git-ssh-key", key.to_str().unwrap()]);
    }
    drop(server);
    said.assert_clean();
}

/// What only one of the two databases has.
mod postgres {
    use super::*;

    #[tokio::test]
    #[ignore = "needs postgres"]
    async fn the_password_of_a_database_that_is_used_is_not_said() {
        let testbed = Testbed::prepare_on_postgres();
        let commit = testbed.repository.push("users and nodes");
        // The server trusts everybody, whatever password they give.
        let address = testbed.database().replacen("almanac@", &format!("almanac:{CANARY}@"), 1);
        assert!(address.contains(CANARY));
        let replica = Replica::start_loud(&testbed, "loud", &address).await;
        replica.serves(&commit).await;
        let mut said = Said { secrets: vec![CANARY.to_owned()], ..Said::default() };
        said.add("the status", replica.status().await);
        said.add("the log", replica.daemon().log());
        said.assert_clean();
    }
}
