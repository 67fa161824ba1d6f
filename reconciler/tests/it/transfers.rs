//! Files of runs: sent, resumed, verified, stored, fetched.

use std::{fs, path::Path};

use almanac_proto::{limits, v1};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use crate::harness::{Mount, Testbed, event, instant, manifest, run_id, wait_for, whole_run};

pub(crate) fn at() -> DateTime<Utc> {
    instant("2030-01-02T23:00:00Z")
}

/// A file of the run of `ping` on London.
#[derive(Clone)]
struct Upload {
    name: String,
    content: Vec<u8>,
}

/// Bytes that no two offsets share.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    (0..length.div_ceil(32) as u64)
        .flat_map(|block| Sha256::digest(block.to_be_bytes()))
        .take(length)
        .collect()
}

impl Upload {
    fn new(name: &str, length: usize) -> Self {
        Self { name: name.to_owned(), content: noise(length) }
    }

    fn announcement(&self) -> v1::BeginUploadRequest {
        v1::BeginUploadRequest {
            node: "london-01".to_owned(),
            run_id: run_id("ping", "london-01", at()),
            role: v1::Role::Client.into(),
            name: self.name.clone(),
            size: self.content.len() as u64,
            sha256: Sha256::digest(&self.content).to_vec().into(),
            content: None,
            direct: false,
        }
    }

    /// The announcement with the file itself.
    fn at_once(&self) -> v1::BeginUploadRequest {
        v1::BeginUploadRequest { content: Some(self.content.clone().into()), ..self.announcement() }
    }

    async fn begin(&self, testbed: &Testbed) -> Result<v1::BeginUploadResponse, Status> {
        begin(testbed, self.announcement()).await
    }

    /// Sends from an offset up to another one, in parts.
    async fn send(&self, testbed: &Testbed, id: &str, from: u64, to: usize) -> Result<u64, Status> {
        send(testbed, id, from, &self.content[..to]).await
    }

    async fn whole(&self, testbed: &Testbed) -> Result<v1::Artifact, Status> {
        let begun = self.begin(testbed).await?;
        if begun.offset < self.content.len() as u64 {
            self.send(testbed, &begun.upload_id, begun.offset, self.content.len()).await?;
        }
        commit(testbed, &begun.upload_id).await
    }

    fn wanted(&self, offset: u64) -> v1::DownloadArtifactRequest {
        v1::DownloadArtifactRequest {
            run_id: run_id("ping", "london-01", at()),
            role: v1::Role::Client.into(),
            name: self.name.clone(),
            offset,
        }
    }

    async fn fetch(&self, testbed: &Testbed, who: &str, offset: u64) -> Result<Vec<u8>, Status> {
        let mut stream = testbed.ask(who).download_artifact(self.wanted(offset)).await?.into_inner();
        let mut content = vec![];
        while let Some(part) = stream.message().await? {
            content.extend(part.data);
        }
        Ok(content)
    }
}

async fn begin(
    testbed: &Testbed,
    request: v1::BeginUploadRequest,
) -> Result<v1::BeginUploadResponse, Status> {
    testbed.agent("london-01").begin_upload(request).await.map(tonic::Response::into_inner)
}

async fn send(testbed: &Testbed, id: &str, from: u64, content: &[u8]) -> Result<u64, Status> {
    let mut offset = from;
    let rest = content.get(from as usize..).unwrap_or_default();
    let parts: Vec<_> = rest
        .chunks(limits::MAX_CHUNK)
        .map(|data| {
            let part = block(id, offset, data);
            offset += data.len() as u64;
            part
        })
        .collect();
    let answer = testbed.agent("london-01").upload(tokio_stream::iter(parts)).await?;
    Ok(answer.into_inner().offset)
}

fn block(id: &str, offset: u64, data: &[u8]) -> v1::UploadRequest {
    let crc32 = Some(crc32fast::hash(data));
    v1::UploadRequest { upload_id: id.to_owned(), offset, data: data.to_vec().into(), crc32 }
}

async fn commit(testbed: &Testbed, id: &str) -> Result<v1::Artifact, Status> {
    let request = v1::CommitUploadRequest { upload_id: id.to_owned(), sent: None };
    let answer = testbed.agent("london-01").commit_upload(request).await?;
    Ok(answer.into_inner().artifact.unwrap())
}

/// A testbed with a run to send files of.
async fn testbed() -> Testbed {
    let testbed = Testbed::with_jobs().await;
    let mut steps = whole_run("ping", "london-01", at());
    steps.truncate(3);
    testbed.report("london-01", steps).await;
    testbed
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_block_that_was_damaged_on_its_way_is_sent_again_and_what_was_there_stays() {
    let testbed = testbed().await;
    let file = Upload::new("artifacts.tar.zst", 100_000);
    let begun = file.begin(&testbed).await.unwrap();
    let [good, mut damaged] = [(0, 0..40_000), (40_000, 40_000..80_000)]
        .map(|(offset, bytes)| block(&begun.upload_id, offset, &file.content[bytes]));
    let mut data = damaged.data.to_vec();
    data[20_000] ^= 1;
    damaged.data = data.into();
    let sent = testbed.agent("london-01").upload(tokio_stream::iter([good, damaged])).await;
    let refusal = sent.unwrap_err();
    assert_eq!(refusal.code(), Code::DataLoss);
    assert_eq!(refusal.message(), "what begins at byte 40000 was damaged on its way; send it again");
    let again = file.begin(&testbed).await.unwrap();
    assert_eq!(again.offset, 40_000);
    file.send(&testbed, &again.upload_id, again.offset, 100_000).await.unwrap();
    commit(&testbed, &again.upload_id).await.unwrap();
    assert_eq!(file.fetch(&testbed, "bob", 0).await.unwrap(), file.content);
}

#[tokio::test]
async fn a_file_is_stored_and_fetched_byte_for_byte() {
    let testbed = testbed().await;
    let file = Upload::new("artifacts.tar.zst", 3 * limits::MAX_CHUNK + 17);
    let artifact = file.whole(&testbed).await.unwrap();
    let run = run_id("ping", "london-01", at());
    assert_eq!((artifact.run_id.as_str(), artifact.role()), (run.as_str(), v1::Role::Client));
    assert_eq!((artifact.name.as_str(), artifact.size), ("artifacts.tar.zst", file.content.len() as u64));
    assert_eq!(artifact.sha256, Sha256::digest(&file.content).to_vec());
    assert_eq!(artifact.path, format!("london-01/ping/2030/01/02/{run}/artifacts.tar.zst"));
    assert!(artifact.stored_at.is_some());
    assert_eq!(fs::read(testbed.store().join(&artifact.path)).unwrap(), file.content);

    assert_eq!(file.fetch(&testbed, "bob", 0).await.unwrap(), file.content);
    let end = file.content.len() as u64;
    for offset in [1, limits::MAX_CHUNK as u64, end - 1, end] {
        let rest = file.fetch(&testbed, "bob", offset).await.unwrap();
        assert!(rest == file.content[offset as usize..], "from {offset}");
    }
    assert_eq!(file.fetch(&testbed, "bob", end + 1).await.unwrap_err().code(), Code::OutOfRange);

    let empty = Upload::new("run.log", 0);
    assert_eq!(empty.whole(&testbed).await.unwrap().size, 0);
    assert_eq!(empty.fetch(&testbed, "bob", 0).await.unwrap(), b"");
    let request = v1::ListArtifactsRequest { run_id: run.clone() };
    let listed = testbed.ask("bob").list_artifacts(request).await.unwrap().into_inner().artifacts;
    assert_eq!(
        listed.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(),
        ["artifacts.tar.zst", "run.log"]
    );
    assert_eq!(testbed.run(&run).await.artifacts, listed);
    let missing = Upload::new("nosuch", 1).fetch(&testbed, "bob", 0).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn the_files_of_a_server_lie_apart() {
    let testbed = Testbed::start().await;
    let job = manifest::served_job("iperf", "bob", "paris-01", "london-01", manifest::HOURLY);
    testbed.repository.write("jobs/iperf.yaml", job);
    testbed.push("a job with a server").await;
    let mut report = event("iperf", "london-01", at(), 1, v1::Phase::Running);
    report.role = v1::Role::Server.into();
    testbed.report("london-01", vec![report]).await;
    let run = run_id("iperf", "london-01", at());
    let request = v1::BeginUploadRequest {
        run_id: run.clone(),
        role: v1::Role::Server.into(),
        ..Upload::new("run.log", 100).announcement()
    };
    let begun = begin(&testbed, request).await.unwrap();
    send(&testbed, &begun.upload_id, 0, &noise(100)).await.unwrap();
    let artifact = commit(&testbed, &begun.upload_id).await.unwrap();
    assert_eq!(artifact.path, format!("london-01/iperf/2030/01/02/{run}/server/run.log"));
}

#[tokio::test]
async fn an_upload_goes_on_where_it_stopped() {
    let mut testbed = testbed().await;
    let file = Upload::new("artifacts.tar.zst", 2 * limits::MAX_CHUNK);
    let begun = file.begin(&testbed).await.unwrap();
    assert_eq!(begun.offset, 0);

    // The connection drops while the stream is open: a part has arrived, no end ever comes.
    let first = v1::UploadRequest {
        upload_id: begun.upload_id.clone(),
        offset: 0,
        data: file.content[..300_000].to_vec().into(),
        crc32: None,
    };
    let endless = tokio_stream::StreamExt::chain(tokio_stream::iter([first]), tokio_stream::pending());
    let mut agent = testbed.agent("london-01");
    let sending = tokio::spawn(async move { agent.upload(endless).await });
    let id = begun.upload_id.clone();
    testbed
        .wait_for("the part to arrive", async || {
            (file.begin(&testbed).await.unwrap().offset == 300_000).then_some(())
        })
        .await;
    sending.abort();
    // The reconciler notices that the stream is gone, and lets the next one have the upload.
    let offset = testbed
        .wait_for("the upload to be free", async || match file.send(&testbed, &id, 300_000, 700_000).await {
            Ok(offset) => Some(offset),
            Err(status) => {
                assert_eq!(status.code(), Code::Aborted, "{status:?}");
                None
            }
        })
        .await;
    assert_eq!(offset, 700_000);

    testbed.crash_and_serve().await;
    let again = file.begin(&testbed).await.unwrap();
    assert_eq!(
        again,
        v1::BeginUploadResponse { upload_id: id.clone(), offset: 700_000, artifact: None, direct: None }
    );
    let early = commit(&testbed, &id).await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition);
    file.send(&testbed, &id, 700_000, file.content.len()).await.unwrap();

    // Also between the last part and the commit.
    testbed.crash_and_serve().await;
    assert_eq!(file.begin(&testbed).await.unwrap().offset, file.content.len() as u64);
    commit(&testbed, &id).await.unwrap();
    assert_eq!(file.fetch(&testbed, "bob", 0).await.unwrap(), file.content);
}

#[tokio::test]
async fn committing_twice_is_committing_once() {
    let mut testbed = testbed().await;
    let file = Upload::new("run.log", 1000);
    let begun = file.begin(&testbed).await.unwrap();
    file.send(&testbed, &begun.upload_id, 0, 1000).await.unwrap();
    let first = commit(&testbed, &begun.upload_id).await.unwrap();
    assert_eq!(commit(&testbed, &begun.upload_id).await.unwrap(), first);
    testbed.crash_and_serve().await;
    assert_eq!(commit(&testbed, &begun.upload_id).await.unwrap(), first);
    // An agent that forgot begins anew, and has nothing left to send.
    assert_eq!(file.begin(&testbed).await.unwrap().offset, 1000);
    assert_eq!(file.whole(&testbed).await.unwrap(), first);
    assert_eq!(files(&testbed.store()).len(), 1);
}

#[tokio::test]
async fn a_small_file_is_stored_by_its_announcement_once() {
    let mut testbed = testbed().await;
    for (name, length) in [("run.log", limits::MAX_CONTENT), ("run.json", 0)] {
        let file = Upload::new(name, length);
        // It was begun otherwise before, and broken off.
        let begun = file.begin(&testbed).await.unwrap();
        file.send(&testbed, &begun.upload_id, 0, length.min(1000)).await.ok();
        let first = begin(&testbed, file.at_once()).await.unwrap();
        let artifact = first.artifact.clone().unwrap();
        assert_eq!(
            (artifact.name.as_str(), artifact.size, first.offset),
            (name, length as u64, length as u64)
        );
        assert_eq!(fs::read(testbed.store().join(&artifact.path)).unwrap(), file.content);
        // The answer was lost, or the reconciler.
        assert_eq!(begin(&testbed, file.at_once()).await.unwrap(), first);
        testbed.crash_and_serve().await;
        assert_eq!(begin(&testbed, file.at_once()).await.unwrap(), first);
        assert_eq!(file.begin(&testbed).await.unwrap().offset, length as u64, "nothing is left to send");
        assert_eq!(file.whole(&testbed).await.unwrap(), artifact);
        assert_eq!(file.fetch(&testbed, "bob", 0).await.unwrap(), file.content);
    }
    assert_eq!(files(&testbed.store()).len(), 2);
}

#[tokio::test]
async fn a_small_file_that_is_not_what_is_announced_is_refused_and_spoils_nothing() {
    let testbed = testbed().await;
    let file = Upload::new("run.log", 1000);
    let other = Upload { content: vec![7; 1000], ..file.clone() };
    let refused = async |request: v1::BeginUploadRequest| begin(&testbed, request).await.unwrap_err();
    let content = |content: &[u8]| v1::BeginUploadRequest {
        content: Some(content.to_vec().into()),
        ..file.announcement()
    };
    assert_eq!(refused(content(&other.content)).await.code(), Code::DataLoss);
    for part in [&file.content[..999], &noise(1001), &[]] {
        let refused = refused(content(part)).await;
        assert_eq!(refused.code(), Code::InvalidArgument, "{}", refused.message());
        assert!(refused.message().contains("1000"), "{}", refused.message());
    }
    let large = Upload::new("run.log", limits::MAX_CONTENT + 1);
    assert_eq!(refused(large.at_once()).await.code(), Code::InvalidArgument);
    assert_eq!(files(&testbed.store()), [""; 0].map(std::path::PathBuf::from));
    begin(&testbed, file.at_once()).await.unwrap();
    assert_eq!(refused(other.at_once()).await.code(), Code::AlreadyExists);
    assert_eq!(file.fetch(&testbed, "alice", 0).await.unwrap(), file.content);
}

#[tokio::test]
async fn a_stored_file_is_never_replaced() {
    let testbed = testbed().await;
    let file = Upload::new("run.log", 1000);
    file.whole(&testbed).await.unwrap();
    let other = Upload { content: vec![7; 1000], ..file.clone() };
    let refused = other.begin(&testbed).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(refused.message().contains("run.log"), "{}", refused.message());
    assert_eq!(file.fetch(&testbed, "alice", 0).await.unwrap(), file.content);
}

#[tokio::test]
async fn who_is_overtaken_by_another_content_is_not_told_that_it_is_stored() {
    let testbed = testbed().await;
    let file = Upload::new("run.log", 1000);
    let other = Upload { content: vec![7; 1000], ..file.clone() };
    let begun = file.begin(&testbed).await.unwrap();
    file.send(&testbed, &begun.upload_id, 0, 1000).await.unwrap();
    begin(&testbed, other.at_once()).await.unwrap();
    let refused = commit(&testbed, &begun.upload_id).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    assert_eq!(other.fetch(&testbed, "alice", 0).await.unwrap(), other.content);
}

#[tokio::test]
async fn what_is_not_what_was_announced_is_refused_and_sent_again() {
    let testbed = testbed().await;
    let file = Upload::new("run.log", 1000);
    let begun = file.begin(&testbed).await.unwrap();
    send(&testbed, &begun.upload_id, 0, &[7; 1000]).await.unwrap();
    let refused = commit(&testbed, &begun.upload_id).await.unwrap_err();
    assert_eq!(refused.code(), Code::DataLoss);
    assert!(refused.message().contains("SHA-256"), "{}", refused.message());
    assert_eq!(files(&testbed.store()), [""; 0].map(std::path::PathBuf::from));
    // What arrived is gone, so that it can arrive rightly.
    assert_eq!(file.begin(&testbed).await.unwrap().offset, 0);
    file.whole(&testbed).await.unwrap();
    assert_eq!(file.fetch(&testbed, "bob", 0).await.unwrap(), file.content);
}

#[tokio::test]
async fn parts_that_do_not_fit_are_refused_and_spoil_nothing() {
    let testbed = testbed().await;
    let file = Upload::new("run.log", 2 * limits::MAX_CHUNK);
    let id = file.begin(&testbed).await.unwrap().upload_id;
    file.send(&testbed, &id, 0, 1000).await.unwrap();
    let part = async |offset: u64, data: Vec<u8>| {
        let part = v1::UploadRequest { upload_id: id.clone(), offset, data: data.into(), crc32: None };
        testbed.agent("london-01").upload(tokio_stream::iter([part])).await.unwrap_err()
    };
    // A gap, a repetition, too much at once, and more than was announced.
    for (offset, length, code) in [
        (2000, 10, Code::OutOfRange),
        (0, 10, Code::OutOfRange),
        (1000, limits::MAX_CHUNK + 1, Code::InvalidArgument),
    ] {
        let refused = part(offset, noise(length)).await;
        assert_eq!(refused.code(), code, "{offset} {length}: {}", refused.message());
    }
    assert!(part(2000, noise(10)).await.message().contains("1000"), "it says where to go on");
    let refused = send(&testbed, &id, 1000, &noise(2 * limits::MAX_CHUNK + 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    let nothing: [v1::UploadRequest; 0] = [];
    let refused = testbed.agent("london-01").upload(tokio_stream::iter(nothing)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    file.whole(&testbed).await.unwrap();
    assert_eq!(file.fetch(&testbed, "bob", 0).await.unwrap(), file.content);
}

#[tokio::test]
async fn files_that_cannot_be_are_refused() {
    let testbed = testbed().await;
    let good = Upload::new("run.log", 10).announcement();
    for name in ["../x", "..", ".", "", ".hidden", "a/b", "/etc/passwd", "a\\b", "a\nb", &"a".repeat(300)] {
        let refused = begin(&testbed, v1::BeginUploadRequest { name: name.to_owned(), ..good.clone() }).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument, "{name:?}");
    }
    let wrong = [
        v1::BeginUploadRequest { sha256: vec![0; 31].into(), ..good.clone() },
        v1::BeginUploadRequest { role: 0, ..good.clone() },
        v1::BeginUploadRequest { run_id: "nonsense".to_owned(), ..good.clone() },
        v1::BeginUploadRequest { size: u64::MAX, ..good.clone() },
    ];
    for request in wrong {
        assert_eq!(
            begin(&testbed, request.clone()).await.unwrap_err().code(),
            Code::InvalidArgument,
            "{request:?}"
        );
    }
    // A run that nobody reported, and one of another node.
    let unknown = run_id("ping", "london-01", instant("2030-01-09T00:00:00Z"));
    let refused =
        begin(&testbed, v1::BeginUploadRequest { run_id: unknown, ..good.clone() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    testbed.report("paris-01", whole_run("trace", "paris-01", at())).await;
    let others = run_id("trace", "paris-01", at());
    let refused =
        begin(&testbed, v1::BeginUploadRequest { run_id: others, ..good.clone() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = commit(&testbed, "00000000-0000-4000-8000-000000000000").await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(commit(&testbed, "nonsense").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_full_store_refuses_and_nothing_is_half_done() {
    let mut testbed = Testbed::prepare();
    let mount = Mount::tmpfs(&testbed.store(), 1024);
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    let pushed = testbed.repository.push("a job");
    testbed.serve().await;
    testbed.wait_applied(&pushed).await;
    testbed.report("london-01", whole_run("ping", "london-01", at())).await;

    let large = Upload::new("artifacts.tar.zst", 2 << 20);
    let begun = large.begin(&testbed).await.unwrap();
    large.send(&testbed, &begun.upload_id, 0, large.content.len()).await.unwrap();
    let refused = commit(&testbed, &begun.upload_id).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{}", refused.message());
    assert!(refused.message().contains(testbed.store().to_str().unwrap()), "{}", refused.message());
    let run = testbed.run(&run_id("ping", "london-01", at())).await;
    assert_eq!(run.artifacts, []);
    assert_eq!(files(&testbed.store()), [""; 0].map(std::path::PathBuf::from));

    // What has arrived stays, and is stored as soon as there is room. Smaller files go on meanwhile.
    let small = Upload::new("run.log", 1000);
    small.whole(&testbed).await.unwrap();
    let grown =
        std::process::Command::new("mount").args(["-o", "remount,size=8m"]).arg(testbed.store()).status();
    assert!(grown.unwrap().success());
    assert_eq!(large.begin(&testbed).await.unwrap().offset, large.content.len() as u64);
    commit(&testbed, &begun.upload_id).await.unwrap();
    assert_eq!(large.fetch(&testbed, "bob", 0).await.unwrap(), large.content);
    testbed.take_daemon().kill();
    drop(mount);
}

#[tokio::test]
async fn a_download_that_a_stop_cuts_off_does_not_end_well() {
    let mut testbed = testbed().await;
    // So much that most of it waits for its reader.
    let file = Upload::new("big.bin", 24 << 20);
    file.whole(&testbed).await.unwrap();
    let mut stream = testbed.ask("bob").download_artifact(file.wanted(0)).await.unwrap().into_inner();
    let mut content = stream.message().await.unwrap().unwrap().data.to_vec();
    let daemon = testbed.take_daemon();
    daemon.signal("TERM");
    wait_for("nobody to be let in any more", async || TcpStream::connect(testbed.socket()).await.err()).await;
    let end = loop {
        match stream.message().await {
            Ok(Some(part)) => content.extend(part.data),
            end => break end,
        }
    };
    let refused = end.expect_err("a file that is cut off");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(
        refused.message(),
        "the reconciler is stopping; the same download again goes on where this one stopped"
    );
    assert!(content.len() < file.content.len() && file.content.starts_with(&content), "{}", content.len());
    assert!(daemon.terminate().await.success());
}
