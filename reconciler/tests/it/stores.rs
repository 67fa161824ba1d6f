//! Files that nodes send to a store themselves, with grants of the reconciler: to Azurite and to a server of S3, both real.

use std::{fs, time::Duration};

use almanac_proto::v1;
use almanac_reconciler::store::{PartRow, Store};
use almanac_tests::object_store::{Azurite, RESULTS, S3};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{TimeDelta, Utc};
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use crate::{
    harness::{Mood, Testbed, Way, event, http, manifest, run_id, whole_run},
    transfers::{at, noise},
};

const MIB: usize = 1 << 20;

/// A store that is running.
enum Server {
    Azure(Azurite),
    S3(S3),
}

/// A testbed whose files go to a store, by a way that may be bad.
struct World {
    testbed: Testbed,
    way: Way,
    server: Server,
}

/// A file of the run of `ping` on London.
#[derive(Clone)]
struct File {
    name: &'static str,
    content: Vec<u8>,
}

impl World {
    async fn azure() -> Self {
        Self::on(Server::Azure(Azurite::start())).await
    }

    async fn s3() -> Self {
        Self::on(Server::S3(S3::start())).await
    }

    async fn on(server: Server) -> Self {
        let way = Way::to(server.port()).await;
        let testbed = Testbed::with_store(|testbed| server.settings(testbed, way.port())).await;
        let mut steps = whole_run("ping", "london-01", at());
        steps.truncate(3);
        testbed.report("london-01", steps).await;
        Self { testbed, way, server }
    }

    /// The part of `length` bytes from `start` on, granted.
    async fn grant(
        &self,
        file: &File,
        id: &str,
        start: usize,
        length: usize,
        sent: Option<v1::SentPart>,
    ) -> Result<v1::GrantPartResponse, Status> {
        let md5 = md5(&file.content[start..start + length]);
        let request = v1::GrantPartRequest {
            upload_id: id.to_owned(),
            offset: start as u64,
            length: length as u64,
            md5: md5.into(),
            sent,
        };
        self.testbed.agent("london-01").grant_part(request).await.map(tonic::Response::into_inner)
    }

    /// Sends a file from where it is, up to an offset, and says what was sent last.
    async fn send(&self, file: &File, begun: &v1::BeginUploadResponse, to: usize) -> Option<v1::SentPart> {
        let bounds = begun.direct.unwrap();
        let mut offset = begun.offset as usize;
        let mut sent = None;
        while offset < to {
            let length = (file.content.len() - offset).min(bounds.least.max(5 << 20) as usize);
            let granted = self.grant(file, &begun.upload_id, offset, length, sent).await.unwrap();
            assert_eq!(granted.offset, offset as u64);
            let request = granted.request.unwrap();
            assert_eq!(request.method, "PUT");
            let answer = make(&request, &request.url, &file.content[offset..offset + length]).await;
            assert!(answer.status().is_success(), "{answer:?}");
            let etag = answer.headers().get("etag").map(|etag| etag.to_str().unwrap().to_owned());
            let (start, etag) = (offset as u64, etag.unwrap_or_default());
            sent = Some(v1::SentPart { offset: start, length: length as u64, etag });
            offset += length;
        }
        sent
    }

    async fn begin(&self, file: &File) -> Result<v1::BeginUploadResponse, Status> {
        begin(&self.testbed, file.announcement()).await
    }

    async fn commit(&self, id: &str, sent: Option<v1::SentPart>) -> Result<v1::Artifact, Status> {
        let request = v1::CommitUploadRequest { upload_id: id.to_owned(), sent };
        let answer = self.testbed.agent("london-01").commit_upload(request).await?;
        Ok(answer.into_inner().artifact.unwrap())
    }

    /// Does something as soon as the store can be reached again: the reconciler may hold connections to it that were cut.
    async fn once_it_can<T>(&self, mut deed: impl AsyncFnMut() -> Result<T, Status>) -> T {
        self.testbed
            .wait_for("the store to be reached", async || match deed().await {
                Err(status) if status.code() == Code::Unavailable => None,
                done => Some(done.unwrap()),
            })
            .await
    }

    async fn whole(&self, file: &File) -> Result<v1::Artifact, Status> {
        let begun = self.begin(file).await?;
        let sent = self.send(file, &begun, file.content.len()).await;
        self.commit(&begun.upload_id, sent).await
    }

    async fn fetch(&self, file: &File, offset: u64) -> Result<Vec<u8>, Status> {
        let request = v1::DownloadArtifactRequest {
            run_id: run_id("ping", "london-01", at()),
            role: v1::Role::Client.into(),
            name: file.name.to_owned(),
            offset,
        };
        let mut stream = self.testbed.ask("bob").download_artifact(request).await?.into_inner();
        let mut content = vec![];
        while let Some(part) = stream.message().await? {
            content.extend(part.data);
        }
        Ok(content)
    }

    async fn grant_download(&self, file: &File) -> Result<v1::GrantDownloadResponse, Status> {
        let request = v1::GrantDownloadRequest {
            run_id: run_id("ping", "london-01", at()),
            role: v1::Role::Client.into(),
            name: file.name.to_owned(),
        };
        self.testbed.ask("bob").grant_download(request).await.map(tonic::Response::into_inner)
    }
}

impl Server {
    fn port(&self) -> u16 {
        match self {
            Self::Azure(server) => server.port(),
            Self::S3(server) => server.port(),
        }
    }

    /// What the testbed says of it. The secrets are in files of the testbed's folder.
    fn settings(&self, testbed: &Testbed, port: u16) -> String {
        let file = |name: &str, secret: &str| {
            let path = testbed.folder().join(name);
            fs::write(&path, secret).unwrap();
            format!("{{ fromFile: {} }}", path.display())
        };
        match self {
            Self::Azure(_) => {
                let secret = file("secret", &Azurite::connection_string(port));
                format!("store: az://{RESULTS}/pre/fix\ncredentials: {{ connectionString: {secret} }}\n")
            }
            Self::S3(_) => format!(
                "store: s3://{RESULTS}/pre/fix\nendpoint: http://127.0.0.1:{port}\ncredentials:\n  \
                 accessKeyId: {}\n  secretAccessKey: {}\n",
                file("id", S3::KEY_ID),
                file("secret", S3::SECRET)
            ),
        }
    }

    /// What nobody but the reconciler may know.
    fn secret(&self) -> &'static str {
        match self {
            Self::Azure(_) => Azurite::KEY,
            Self::S3(_) => S3::SECRET,
        }
    }
}

impl File {
    fn new(name: &'static str, length: usize) -> Self {
        Self { name, content: noise(length) }
    }

    fn announcement(&self) -> v1::BeginUploadRequest {
        v1::BeginUploadRequest {
            node: "london-01".to_owned(),
            run_id: run_id("ping", "london-01", at()),
            role: v1::Role::Client.into(),
            name: self.name.to_owned(),
            size: self.content.len() as u64,
            sha256: Sha256::digest(&self.content).to_vec().into(),
            content: None,
            direct: true,
        }
    }
}

async fn begin(testbed: &Testbed, file: v1::BeginUploadRequest) -> Result<v1::BeginUploadResponse, Status> {
    testbed.agent("london-01").begin_upload(file).await.map(tonic::Response::into_inner)
}

/// Makes a request that was granted, to this address.
async fn make(request: &v1::SignedRequest, url: &str, body: &[u8]) -> reqwest::Response {
    let mut making = http().request(request.method.parse().unwrap(), url);
    for (name, value) in &request.headers {
        making = making.header(name, value);
    }
    making.body(body.to_vec()).send().await.unwrap()
}

fn md5(content: &[u8]) -> Vec<u8> {
    md5::Md5::digest(content).to_vec()
}

/// Both stores, one after the other.
macro_rules! on_each_store {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test]
            #[ignore = "needs azurite"]
            async fn azure() {
                super::super::$name(super::super::World::azure().await).await;
            }

            #[tokio::test]
            async fn s3() {
                super::super::$name(super::super::World::s3().await).await;
            }
        }
    )*};
}

mod each {
    on_each_store! {
        a_file_goes_to_the_store_itself_and_is_fetched_from_it
        an_upload_goes_on_where_it_stopped
        a_grant_is_for_one_file_and_replaces_nothing_that_is_stored
        what_is_not_what_was_announced_is_refused_and_sent_again
        a_store_that_is_away_is_waited_for_and_holds_nothing_up
        what_keeps_a_store_from_taking_files_is_said_and_counted
        a_wrong_secret_is_named_and_a_right_one_counts_at_once
        no_secret_is_told_logged_or_stored
        a_node_that_cannot_send_to_the_store_sends_through_the_reconciler
    }
}

async fn a_file_goes_to_the_store_itself_and_is_fetched_from_it(world: World) {
    let file = File::new("artifacts.tar.zst", 12 * MIB + 17);
    let artifact = world.whole(&file).await.unwrap();
    let run = run_id("ping", "london-01", at());
    assert_eq!(artifact.path, format!("london-01/ping/2030/01/02/{run}/artifacts.tar.zst"));
    assert_eq!((artifact.size, artifact.name.as_str()), (file.content.len() as u64, file.name));
    if let Server::S3(s3) = &world.server {
        assert!(fs::read(s3.bucket().join("pre/fix").join(&artifact.path)).unwrap() == file.content);
    }
    let end = file.content.len() as u64;
    for offset in [0, 1, 5 * MIB as u64, end - 1, end] {
        assert!(
            world.fetch(&file, offset).await.unwrap() == file.content[offset as usize..],
            "from {offset}"
        );
    }

    // Without the reconciler: a user has no key of the store.
    let granted = world.grant_download(&file).await.unwrap();
    assert_eq!(granted.artifact, Some(artifact.clone()));
    let request = granted.request.unwrap();
    let expires_at = request.expires_at.unwrap().seconds - Utc::now().timestamp();
    assert!((1..=600).contains(&expires_at), "{expires_at}");
    assert!(make(&request, &request.url, b"").await.bytes().await.unwrap() == file.content);
    let ranged = http().get(&request.url).header("range", "bytes=5-9").send().await.unwrap();
    assert_eq!((ranged.status().as_u16(), &ranged.bytes().await.unwrap()[..]), (206, &file.content[5..10]));

    // Small files come with their announcement, and committing twice is committing once.
    let small = File::new("run.log", 100);
    let content = Some(small.content.clone().into());
    let begun =
        begin(&world.testbed, v1::BeginUploadRequest { content, ..small.announcement() }).await.unwrap();
    assert_eq!(begun.artifact.unwrap().name, "run.log");
    assert_eq!(world.fetch(&small, 0).await.unwrap(), small.content);
    let again = world.begin(&file).await.unwrap();
    assert_eq!(again.offset, end, "nothing is left to send");
    assert_eq!(world.commit(&again.upload_id, None).await.unwrap(), artifact);
}

async fn an_upload_goes_on_where_it_stopped(mut world: World) {
    let file = File::new("artifacts.tar.zst", 16 * MIB);
    let begun = world.begin(&file).await.unwrap();
    assert_eq!(begun.offset, 0);
    let bounds = begun.direct.unwrap();
    assert!(bounds.least <= 5 << 20 && bounds.most == 8 << 20, "{bounds:?}");
    let sent = world.send(&file, &begun, 6 * MIB).await;
    // The second part is there, and nobody said so yet.
    assert_eq!(world.begin(&file).await.unwrap().offset, 5 << 20);

    world.testbed.crash_and_serve().await;
    let next = world.grant(&file, &begun.upload_id, 10 << 20, 5 << 20, sent.clone()).await.unwrap();
    assert_eq!(next.offset, 10 << 20);
    // Saying it twice changes nothing, and a part that does not follow is not granted.
    let next = world.grant(&file, &begun.upload_id, 0, 5 << 20, sent).await.unwrap();
    assert_eq!((next.offset, next.request), (10 << 20, None));
    world.testbed.crash_and_serve().await;
    let again = world.begin(&file).await.unwrap();
    assert_eq!((&again.upload_id, again.offset), (&begun.upload_id, 10 << 20));
    assert_eq!(world.commit(&begun.upload_id, None).await.unwrap_err().code(), Code::FailedPrecondition);
    let longer = File { content: vec![0; 64 * MIB], ..file.clone() };
    for length in [1, 9 << 20] {
        let refused = world.grant(&longer, &begun.upload_id, 10 << 20, length, None);
        let refused = refused.await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{length}: {refused}");
    }
    let sent = world.send(&file, &again, 16 * MIB).await;

    // The reconciler is cut off anywhere on the way to the end.
    for delay in [0, 30, 60] {
        let request = v1::CommitUploadRequest { upload_id: begun.upload_id.clone(), sent: sent.clone() };
        let mut agent = world.testbed.agent("london-01");
        let committing = tokio::spawn(async move { agent.commit_upload(request).await });
        tokio::time::sleep(Duration::from_millis(delay)).await;
        world.testbed.crash_and_serve().await;
        let _ = committing.await.unwrap();
    }
    // This server of S3, when it is cut off while it puts parts together, may have neither them nor the file. That may change as
    // long as another reconciler could be at it.
    let mut artifact = world.commit(&begun.upload_id, sent.clone()).await;
    if artifact.as_ref().is_err_and(|status| status.code() == Code::Aborted) {
        let store = Store::open(world.testbed.database()).await.unwrap();
        let (id, longer_ago) = (begun.upload_id.parse().unwrap(), Utc::now() - TimeDelta::minutes(16));
        let no_part = PartRow { start: u64::from(u32::MAX), length: 1, etag: String::new() };
        store.put_part(id, &no_part, longer_ago).await.unwrap();
        artifact = world.commit(&begun.upload_id, sent).await;
    }
    let artifact = match artifact {
        Ok(artifact) => artifact,
        Err(status) => {
            assert!(matches!(world.server, Server::S3(_)), "{status}");
            assert_eq!(status.code(), Code::DataLoss, "{status}");
            world.whole(&file).await.unwrap()
        }
    };
    assert_eq!(artifact.size, file.content.len() as u64);
    assert!(world.fetch(&file, 0).await.unwrap() == file.content);
}

async fn a_grant_is_for_one_file_and_replaces_nothing_that_is_stored(world: World) {
    let (mine, other) = (File::new("artifacts.tar.zst", 7 * MIB), File::new("telemetry.csv", 3 * MIB));
    let stored = world.whole(&other).await.unwrap();
    let begun = world.begin(&mine).await.unwrap();
    let granted = world.grant(&mine, &begun.upload_id, 0, 5 << 20, None).await.unwrap().request.unwrap();

    // Neither the place of another file, nor its own, nor anything but what it says.
    let (place, query) = granted.url.split_once('?').unwrap();
    let root = place.split_inclusive('/').take(4 + usize::from(matches!(world.server, Server::Azure(_))));
    let root: String = root.collect();
    for path in [&stored.path, &format!("{}x", stored.path), &stored.path.replace("telemetry.csv", mine.name)]
    {
        let url = format!("{root}pre/fix/{path}?{query}");
        if url == granted.url {
            continue;
        }
        let refused = make(&granted, &url, &mine.content[..1000]).await;
        assert_eq!(refused.status(), 403, "{path}: {}", refused.text().await.unwrap());
    }
    for method in ["GET", "DELETE"] {
        let request = v1::SignedRequest { method: method.to_owned(), ..granted.clone() };
        let refused = make(&request, &request.url, b"").await;
        assert_eq!(refused.status(), 403, "{method}");
    }
    assert!(world.fetch(&other, 0).await.unwrap() == other.content);

    let sent = world.send(&mine, &begun, mine.content.len()).await;
    world.commit(&begun.upload_id, sent).await.unwrap();
    // The grant still lives. What is stored does not mind.
    for url in [granted.url.clone(), granted.url.replace("comp=block&", "").replace("comp=block", "")] {
        let other = vec![7; 1000];
        let headers = [
            ("content-md5".to_owned(), BASE64_STANDARD.encode(md5(&other))),
            ("x-ms-blob-type".to_owned(), "BlockBlob".to_owned()),
        ];
        for headers in [headers.into_iter().collect(), granted.headers.clone()] {
            make(&v1::SignedRequest { headers, ..granted.clone() }, &url, &other).await;
        }
    }
    assert!(world.fetch(&mine, 0).await.unwrap() == mine.content);
    let again = world.begin(&File { content: noise(1000), ..mine.clone() }).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);

    // Another node has no say in it.
    let request =
        v1::GrantPartRequest { upload_id: begun.upload_id, md5: vec![0; 16].into(), ..Default::default() };
    let refused = world.testbed.agent("paris-01").grant_part(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

async fn what_is_not_what_was_announced_is_refused_and_sent_again(world: World) {
    let file = File::new("artifacts.tar.zst", 6 * MIB);
    let mut broken = file.clone();
    broken.content[4 * MIB] ^= 1;

    // A part that is damaged on its way: Azure compares it with the hash that goes with it, as S3 does; this server of S3 does not.
    let begun = world.begin(&file).await.unwrap();
    let granted = world.grant(&file, &begun.upload_id, 0, 5 << 20, None).await.unwrap().request.unwrap();
    let damaged = make(&granted, &granted.url, &broken.content[..5 << 20]).await;
    if let Server::Azure(_) = world.server {
        assert_eq!(damaged.status(), 400, "{damaged:?}");
    }
    // Nor can another hash go with it there.
    if let Server::S3(_) = world.server {
        let headers = [("content-md5".to_owned(), BASE64_STANDARD.encode(md5(&broken.content[..5 << 20])))];
        let other = v1::SignedRequest { headers: headers.into_iter().collect(), ..granted.clone() };
        assert_eq!(make(&other, &other.url, &broken.content[..1000]).await.status(), 403);
    }

    // A file that is another one than was announced, though each part arrived as it was sent.
    let sent = world.send(&broken, &begun, broken.content.len()).await;
    let refused = world.commit(&begun.upload_id, sent).await.unwrap_err();
    assert_eq!(refused.code(), Code::DataLoss, "{refused}");
    let again = world.begin(&file).await.unwrap();
    assert_eq!(again.offset, 0);
    assert_ne!(again.upload_id, begun.upload_id);
    if let Server::S3(s3) = &world.server {
        assert!(
            !s3.bucket()
                .join(format!("pre/fix/london-01/ping/2030/01/02/{}", run_id("ping", "london-01", at())))
                .join(file.name)
                .exists()
        );
    }

    // A part that was said to be there, and is not.
    let bounds = again.direct.unwrap();
    let length = (5u64 << 20).max(bounds.least);
    let nothing = v1::SentPart { offset: 0, length, etag: "\"0123456789abcdef0123456789abcdef\"".to_owned() };
    world.grant(&file, &again.upload_id, 5 << 20, MIB, Some(nothing)).await.unwrap();
    let last = v1::SentPart { offset: 5 << 20, length: MIB as u64, etag: "\"0\"".to_owned() };
    let refused = world.commit(&again.upload_id, Some(last)).await.unwrap_err();
    assert!(refused.code() != Code::Ok, "{refused}");
    if refused.code() != Code::DataLoss {
        // This server of S3 says no more than that something is wrong.
        assert!(matches!(world.server, Server::S3(_)), "{refused}");
        return;
    }
    world.whole(&file).await.unwrap();
    assert!(world.fetch(&file, 0).await.unwrap() == file.content);
}

async fn a_store_that_is_away_is_waited_for_and_holds_nothing_up(world: World) {
    let file = File::new("artifacts.tar.zst", 6 * MIB);
    for mood in [Mood::Answers(500), Mood::Answers(503), Mood::Silent] {
        world.way.is(mood);
        let beginning = world.begin(&file);
        let small = File::new("run.log", 10);
        let content = Some(small.content.clone().into());
        let small = begin(&world.testbed, v1::BeginUploadRequest { content, ..small.announcement() });
        let alive = async {
            // Reports, heartbeats and syncs go on meanwhile.
            let beat = v1::HeartbeatRequest { node: "london-01".to_owned(), ..Default::default() };
            let beat = world.testbed.agent("london-01").heartbeat(tokio_stream::iter([beat])).await.unwrap();
            assert!(beat.into_inner().message().await.unwrap().is_some());
            let at = at() + TimeDelta::hours(1);
            world
                .testbed
                .report("london-01", vec![event("ping", "london-01", at, 1, v1::Phase::Running)])
                .await;
            world.testbed.look().await;
        };
        let (begun, small, ()) = tokio::join!(beginning, small, alive);
        for refused in [begun.unwrap_err(), small.unwrap_err()] {
            let expected = if mood == Mood::Silent { Code::DeadlineExceeded } else { Code::Unavailable };
            assert_eq!(refused.code(), expected, "{refused}");
        }
        world.way.is(Mood::Good);
    }
    // In the middle as well: what is confirmed stays so.
    let begun = world.once_it_can(async || world.begin(&file).await).await;
    let sent = world.send(&file, &begun, file.content.len()).await;
    world.way.is(Mood::Answers(503));
    let refused = world.commit(&begun.upload_id, sent.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    world.way.is(Mood::Slow(64 * MIB));
    world.once_it_can(async || world.commit(&begun.upload_id, sent.clone()).await).await;
    assert!(world.once_it_can(async || world.fetch(&file, 0).await).await == file.content);
    world.way.is(Mood::Answers(500));
    assert_eq!(world.fetch(&file, 0).await.unwrap_err().code(), Code::Unavailable);
}

async fn what_keeps_a_store_from_taking_files_is_said_and_counted(world: World) {
    // As Azure and S3 say it (learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes,
    // docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
    let skewed = match &world.server {
        Server::Azure(_) => {
            "<Error><Code>AuthenticationFailed</Code><AuthenticationErrorDetail>Request date header too old: \
             'Thu, 26 Nov 2026 08:00:00 GMT'</AuthenticationErrorDetail></Error>"
        }
        Server::S3(_) => {
            "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the \
             server's time is too large.</Message></Error>"
        }
    };
    for (status, body, reason, code, help) in [
        (403, skewed, "clock", Code::FailedPrecondition, "set the clock of the reconciler's host right"),
        (507, "", "full", Code::ResourceExhausted, "is full"),
    ] {
        world.way.is(Mood::Says(status, body));
        let small = File::new("run.log", 10);
        let content = Some(small.content.clone().into());
        let small = begin(&world.testbed, v1::BeginUploadRequest { content, ..small.announcement() });
        let refused = small.await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(help), "{refused}");
        let (_, metrics) = world.testbed.get("/metrics").await;
        let failures = format!("almanac_store_failures_total{{reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&failures), "{failures} in {metrics}");
    }
    world.way.is(Mood::Good);
    world.once_it_can(async || world.whole(&File::new("run.log", 10)).await).await;
}

async fn a_wrong_secret_is_named_and_a_right_one_counts_at_once(world: World) {
    let file = File::new("artifacts.tar.zst", 6 * MIB);
    let path = world.testbed.folder().join("secret");
    let right = fs::read_to_string(&path).unwrap();
    fs::write(&path, right.replace(world.server.secret(), &BASE64_STANDARD.encode("hunter2"))).unwrap();
    let refused = world.begin(&file).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("artifacts.credentials"), "{refused}");
    fs::remove_file(&path).unwrap();
    let refused = world.begin(&file).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("cannot read the secret"), "{refused}");
    fs::write(&path, right).unwrap();
    world.whole(&file).await.unwrap();
}

async fn no_secret_is_told_logged_or_stored(mut world: World) {
    world.testbed.take_daemon().kill();
    world.testbed.serve_with("http", &["--listen", "127.0.0.1:0", "--log", "trace"]).await;
    world
        .testbed
        .wait_for("somebody to be known", async || world.begin(&File::new("run.log", 7 * MIB)).await.ok())
        .await;
    let file = File::new("artifacts.tar.zst", 6 * MIB);
    let begun = world.begin(&file).await.unwrap();
    let granted = world.grant(&file, &begun.upload_id, 0, 5 << 20, None).await.unwrap();
    let sent = world.send(&file, &begun, file.content.len()).await;
    let artifact = world.commit(&begun.upload_id, sent).await.unwrap();
    let download = world.grant_download(&file).await.unwrap();
    let refused = world.fetch(&File::new("nosuch", 1), 0).await.unwrap_err();
    let told = format!("{begun:?} {granted:?} {artifact:?} {download:?} {refused:?}");
    let (_, metrics) = world.testbed.get("/metrics").await;
    let log = world.testbed.log();
    assert!(log.contains("TRACE"), "it says all that it ever says");
    let database = fs::read(world.testbed.database_file()).unwrap_or_default();
    let secret = world.server.secret();
    for (place, text) in [
        ("an answer", told.as_bytes()),
        ("metrics", metrics.as_bytes()),
        ("the log", log.as_bytes()),
        ("the database", &database),
    ] {
        let found = text.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "the secret is in {place}");
    }
}

async fn a_node_that_cannot_send_to_the_store_sends_through_the_reconciler(world: World) {
    let file = File::new("artifacts.tar.zst", 6 * MIB);
    // It began otherwise, before it was exchanged for an older version.
    let direct = world.begin(&file).await.unwrap();
    world.send(&file, &direct, 5 << 20).await;
    let announcement = v1::BeginUploadRequest { direct: false, ..file.announcement() };
    let begun = begin(&world.testbed, announcement).await.unwrap();
    assert_eq!((begun.offset, begun.direct), (0, None));
    assert_ne!(begun.upload_id, direct.upload_id);
    let refused = world.grant(&file, &begun.upload_id, 0, 5 << 20, None).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let mut offset = 0;
    let parts: Vec<_> = file
        .content
        .chunks(MIB)
        .map(|data| {
            let (upload_id, data) = (begun.upload_id.clone(), data.to_vec().into());
            let part = v1::UploadRequest { upload_id, offset, data, crc32: None };
            offset += part.data.len() as u64;
            part
        })
        .collect();
    world.testbed.agent("london-01").upload(tokio_stream::iter(parts)).await.unwrap();
    world.commit(&begun.upload_id, None).await.unwrap();
    assert!(world.fetch(&file, 0).await.unwrap() == file.content);
    assert!(world.grant_download(&file).await.is_ok());
}

#[tokio::test]
async fn settings_that_name_another_store_leave_what_is_stored_where_it_is() {
    let world = World::s3().await;
    let (before, after) = (File::new("run.log", 100_000), File::new("telemetry.csv", 100_000));
    world.whole(&before).await.unwrap();
    let folder = world.testbed.folder().join("folder");
    let settings = manifest::config(&format!("store: file://{}", folder.display()));
    world.testbed.repository.write("config.yaml", settings);
    world.testbed.push("a folder").await;
    let begun = world.begin(&after).await.unwrap();
    assert_eq!(begun.direct, None, "a folder serves nobody itself");
    let refused = world.fetch(&before, 0).await.unwrap_err();
    assert!(matches!(refused.code(), Code::FailedPrecondition | Code::Unavailable), "{refused}");
    let back = world.server.settings(&world.testbed, world.way.port());
    world.testbed.repository.write("config.yaml", manifest::config(&back));
    world.testbed.push("and back").await;
    assert!(world.fetch(&before, 0).await.unwrap() == before.content);
}
