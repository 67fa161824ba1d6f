//! Webhooks of forges, over a socket and with the headers that each of them sends.

use std::{fs, path::PathBuf, time::Duration};

use almanac_proto::v1;
use almanac_reconciler::{
    secret::SecretSource,
    source::Location,
    webhooks::{Forge, WebhookSecrets},
};
use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::bed::{Bed, job, until};

const SECRET: &str = "It's a Secret to Everybody";
/// The key of a signing token, and the token itself.
const KEY: &[u8] = b"0123456789abcdef01234567";
const SIGNING_TOKEN: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

fn digest(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().chain(&[0, 0]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for digit in 0..4 {
            let digit = if digit > chunk.len() { b'=' } else { DIGITS[bits >> (18 - 6 * digit) & 63] };
            text.push(char::from(digit));
        }
    }
    text
}

/// A reconciler of a remote repository, which only a poll in an hour or a webhook can make look.
struct Hooked {
    bed: Bed,
}

impl Hooked {
    async fn start() -> Self {
        let mut bed = Bed::new();
        let commit = bed.commit("users and nodes");
        let mut settings = bed.serve_settings();
        settings.common.location = Location::Remote(bed.repo().display().to_string());
        let secret = |name: &str, text: &str| {
            fs::write(bed.path().join(name), text).unwrap();
            SecretSource::File(bed.path().join(name))
        };
        let plain = secret("hook.secret", SECRET);
        settings.webhooks = WebhookSecrets::from_iter([
            (Forge::Github, plain.clone()),
            (Forge::Gitea, plain.clone()),
            (Forge::Generic, plain),
            (Forge::Gitlab, secret("gitlab.secret", SIGNING_TOKEN)),
        ]);
        bed.start_with(settings).await;
        bed.applied(&commit).await;
        Self { bed }
    }

    fn secret_file(&self) -> PathBuf {
        self.bed.path().join("hook.secret")
    }

    /// Posts a body, and returns the status, the head of the answer and its text.
    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, String) {
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: almanac\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(self.bed.address().trim_start_matches("http://")).await.unwrap();
        stream.write_all((head + "\r\n").as_bytes()).await.unwrap();
        // Who refuses a body need not read it.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let read =
            timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.expect("an answer");
        let answer = String::from_utf8(answer).unwrap();
        assert!(read.is_ok() || !answer.is_empty(), "{read:?}");
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), text.to_owned())
    }

    async fn github(&self, event: &str, id: &str, body: &[u8]) -> (u16, String) {
        let signature = format!("sha256={}", hex(&digest(SECRET.as_bytes(), body)));
        let headers = [
            ("User-Agent", "GitHub-Hookshot/044aadd"),
            ("X-GitHub-Delivery", id),
            ("X-GitHub-Event", event),
            ("X-GitHub-Hook-ID", "292430182"),
            ("X-GitHub-Hook-Installation-Target-ID", "79929171"),
            ("X-GitHub-Hook-Installation-Target-Type", "repository"),
            ("X-Hub-Signature", "sha1=7d38cdd689735b008b3c702edd92eea23791c5f6"),
            ("X-Hub-Signature-256", &signature),
        ];
        let (status, _, text) = self.post("/hooks/github", &headers, body).await;
        (status, text)
    }

    /// Commits a change that nobody but a webhook tells of.
    fn change(&self, name: &str) -> String {
        self.bed.write(&format!("jobs/{name}.yaml"), job(name, "london-01"));
        self.bed.commit(name)
    }

    async fn applied(&self, commit: &str) {
        let sync = self.bed.applied(commit).await.sync.unwrap();
        assert_eq!(sync.outcome(), v1::SyncOutcome::Applied);
    }

    /// The commit that was looked at last.
    async fn looked(&self) -> String {
        self.bed.latest().await.unwrap().sync.unwrap().commit
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_on_each_forge_is_applied_at_once() {
    let hooked = Hooked::start().await;
    let body = br#"{"ref":"refs/heads/main"}"#;
    let commit = hooked.change("github");
    let (status, text) = hooked.github("push", "72d3162e-cc78-11e3-81ab-4c9367dc0958", body).await;
    assert_eq!((status, text.as_str()), (202, "the repository is looked at\n"));
    hooked.applied(&commit).await;

    let signature = hex(&digest(SECRET.as_bytes(), body));
    for forge in ["Gitea", "Forgejo"] {
        let commit = hooked.change(&forge.to_lowercase());
        let id = format!("f6266f16-1bf3-46a5-9ea4-{forge}");
        let header = |name: &str| format!("X-{forge}-{name}");
        let headers = [
            (header("Delivery"), id.clone()),
            (header("Event"), "push".to_owned()),
            (header("Event-Type"), "push".to_owned()),
            (header("Signature"), signature.clone()),
            ("X-Gogs-Delivery".to_owned(), id.clone()),
            ("X-Gogs-Event".to_owned(), "push".to_owned()),
            ("X-Gogs-Signature".to_owned(), signature.clone()),
            ("X-GitHub-Delivery".to_owned(), id),
            ("X-GitHub-Event".to_owned(), "push".to_owned()),
            ("X-Hub-Signature-256".to_owned(), format!("sha256={signature}")),
        ];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(hooked.post("/hooks/gitea", &headers, body).await.0, 202);
        hooked.applied(&commit).await;
    }

    let commit = hooked.change("gitlab");
    let (id, timestamp) = ("f5e5f430-f57b-4e6e-9fac-d9128cd7232f", Utc::now().timestamp().to_string());
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let signature = format!("v1,{}", base64(&digest(KEY, &signed)));
    let headers = [
        ("User-Agent", "GitLab/18.9.0"),
        ("Idempotency-Key", id),
        ("X-Gitlab-Event", "Push Hook"),
        ("X-Gitlab-Event-UUID", "13792a34-cac6-4fda-95a8-c58e00a3954e"),
        ("X-Gitlab-Instance", "https://gitlab.example.org"),
        ("X-Gitlab-Webhook-UUID", "02affd2d-2cba-4033-917d-ec22d5dc4b38"),
        ("webhook-id", id),
        ("webhook-timestamp", &timestamp),
        ("webhook-signature", &signature),
    ];
    assert_eq!(hooked.post("/hooks/gitlab", &headers, body).await.0, 202);
    hooked.applied(&commit).await;
    let (status, _, text) = hooked.post("/hooks/gitlab", &headers, b"{}").await;
    assert!(status == 401 && text.contains("`webhook-signature`"), "{text}");

    // The same with a secret token instead of a signing token; secrets are read when they are used.
    fs::write(hooked.bed.path().join("gitlab.secret"), "swordfish\n").unwrap();
    let commit = hooked.change("token");
    let token = |token| {
        [
            ("X-Gitlab-Event", "Push Hook"),
            ("X-Gitlab-Event-UUID", "13792a34-cac6-4fda-95a8-c58e00a3954e"),
            ("X-Gitlab-Token", token),
        ]
    };
    let (status, _, text) = hooked.post("/hooks/gitlab", &token("sword"), body).await;
    assert!(status == 401 && !text.contains("swordfish"), "{text}");
    assert_eq!(hooked.post("/hooks/gitlab", &token("swordfish"), body).await.0, 202);
    hooked.applied(&commit).await;

    let commit = hooked.change("generic");
    let signature = format!("sha256={}", hex(&digest(SECRET.as_bytes(), b"")));
    let headers = [("X-Almanac-Delivery", "1"), ("X-Almanac-Signature-256", signature.as_str())];
    assert_eq!(hooked.post("/hooks/generic", &headers, b"").await.0, 202);
    hooked.applied(&commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_without_a_secret_is_not_listened_to() {
    let hooked = Hooked { bed: Bed::serving().await };
    for forge in ["github", "gitlab", "gitea", "generic"] {
        let (status, _, text) = hooked.post(&format!("/hooks/{forge}"), &[("X-Gitlab-Token", "")], b"").await;
        assert!(status == 404 && text.contains(&format!("--webhook-{forge}")), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_proven_push_that_is_new_nudges() {
    let hooked = Hooked::start().await;
    let before = hooked.looked().await;
    let commit = hooked.change("quiet");
    let body = b"{}";
    assert_eq!(hooked.github("ping", "1", body).await, (200, "pong\n".to_owned()));
    let (status, text) = hooked.github("issues", "2", body).await;
    assert!(status == 200 && text.contains("ignored"), "{text}");

    let right = format!("sha256={}", hex(&digest(SECRET.as_bytes(), body)));
    let wrong = format!("sha256={}", hex(&digest(b"guess", body)));
    let delivery = ("X-GitHub-Delivery", "3");
    let push = ("X-GitHub-Event", "push");
    let none: &[(&str, &str)] = &[delivery, push];
    let sha1: &[(&str, &str)] = &[delivery, push, ("X-Hub-Signature", "sha1=00")];
    let guess: &[(&str, &str)] = &[delivery, push, ("X-Hub-Signature-256", &wrong)];
    for headers in [none, sha1, guess] {
        let (status, _, text) = hooked.post("/hooks/github", headers, body).await;
        assert!(status == 401 && text.contains("`X-Hub-Signature-256: sha256=`"), "{text}");
        assert!(!text.contains(SECRET), "{text}");
    }
    // What was signed is the body as it came.
    let signed = [delivery, push, ("X-Hub-Signature-256", right.as_str())];
    assert_eq!(hooked.post("/hooks/github", &signed, b"{ }").await.0, 401);
    let (status, _, text) = hooked.post("/hooks/github", &signed[1..], body).await;
    assert!(status == 400 && text.contains("`X-GitHub-Delivery`"), "{text}");
    let large = vec![b' '; (1 << 20) + 1];
    assert_eq!(hooked.post("/hooks/github", &signed, &large).await.0, 413);
    // A secret that is gone lets nobody in.
    fs::remove_file(hooked.secret_file()).unwrap();
    assert_eq!(hooked.post("/hooks/github", &signed, body).await.0, 503);
    fs::write(hooked.secret_file(), SECRET).unwrap();
    assert_eq!(hooked.looked().await, before, "nothing of this was a push");

    // None of the refusals used up the delivery's id.
    assert_eq!(hooked.post("/hooks/github", &signed, body).await.0, 202);
    hooked.applied(&commit).await;
    let later = hooked.change("later");
    let (status, text) = hooked.github("push", "3", body).await;
    assert!(status == 200 && text.contains("came before"), "{text}");
    assert_eq!(hooked.looked().await, commit, "a replay is no nudge");
    assert_eq!(hooked.github("push", "4", body).await.0, 202);
    hooked.applied(&later).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_much_is_told_to_wait() {
    let hooked = Hooked::start().await;
    let (head, text) = until("the bound", async || {
        let (status, head, text) = hooked.post("/hooks/github", &[], b"").await;
        (status == 429).then_some((head, text))
    })
    .await;
    assert!(head.contains("\r\nretry-after: 1\r\n") && text.contains("try again in 1 s"), "{head}{text}");
}
