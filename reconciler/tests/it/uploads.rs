//! Files of runs: up, verified, and down again.

use almanac_proto::v1;
use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use tokio_stream::StreamExt;
use tonic::{Code, Status};

use crate::{
    bed::{Bed, past},
    reports::{event, report, with_job},
};

const NAME: &str = "artifacts.tar.zst";

struct File {
    run: String,
    content: Vec<u8>,
}

impl File {
    fn begin(&self) -> v1::BeginUploadRequest {
        v1::BeginUploadRequest {
            node: "london-01".to_owned(),
            run_id: self.run.clone(),
            role: v1::Role::Client.into(),
            name: NAME.to_owned(),
            size: self.content.len() as u64,
            sha256: Sha256::digest(&self.content).to_vec().into(),
        }
    }

    fn parts(&self, id: &str, from: usize, to: usize) -> Vec<v1::UploadRequest> {
        let chunks = self.content[from..to].chunks(1 << 20).enumerate();
        chunks
            .map(|(n, data)| v1::UploadRequest {
                upload_id: id.to_owned(),
                offset: (from + (n << 20)) as u64,
                data: data.to_vec().into(),
            })
            .collect()
    }
}

/// A run, and a file of three parts that it left.
async fn run_with_file(bed: &Bed) -> File {
    let step = event("ping", "london-01", past(), 1, v1::Phase::Uploading);
    let run = step.run_id.clone();
    report(bed, "london-01", vec![step]).await;
    let content = (0..(2_u32 << 20) + 77).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    File { run, content }
}

async fn begin(bed: &Bed, file: &File) -> Result<v1::BeginUploadResponse, Status> {
    bed.connect("london-01").node().begin_upload(file.begin()).await.map(tonic::Response::into_inner)
}

async fn send(bed: &Bed, parts: Vec<v1::UploadRequest>) -> Result<u64, Status> {
    let sent = bed.connect("london-01").node().upload(tokio_stream::iter(parts)).await;
    sent.map(|answer| answer.into_inner().offset)
}

async fn commit(bed: &Bed, id: &str) -> Result<v1::Artifact, Status> {
    let request = v1::CommitUploadRequest { upload_id: id.to_owned() };
    let answer = bed.connect("london-01").node().commit_upload(request).await;
    answer.map(|answer| answer.into_inner().artifact.unwrap())
}

async fn download(bed: &Bed, who: &str, run: &str, offset: u64) -> Result<Vec<u8>, Status> {
    let request = v1::DownloadArtifactRequest {
        run_id: run.to_owned(),
        role: v1::Role::Client.into(),
        name: NAME.to_owned(),
        offset,
    };
    let mut stream = bed.connect(who).testbed().download_artifact(request).await?.into_inner();
    let mut content = Vec::new();
    while let Some(part) = stream.next().await {
        content.extend_from_slice(&part?.data);
    }
    Ok(content)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upload_goes_on_where_it_stopped_also_after_a_restart() {
    let mut bed = with_job().await;
    let file = run_with_file(&bed).await;
    let begun = begin(&bed, &file).await.unwrap();
    assert_eq!(begun.offset, 0);
    assert_eq!(send(&bed, file.parts(&begun.upload_id, 0, 1 << 20)).await.unwrap(), 1 << 20);
    bed.stop().await;
    bed.start().await;

    let again = begin(&bed, &file).await.unwrap();
    assert_eq!((again.upload_id.as_str(), again.offset), (begun.upload_id.as_str(), 1 << 20));
    let early = commit(&bed, &again.upload_id).await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition, "{early}");
    let wrong = send(&bed, file.parts(&again.upload_id, 0, 10)).await.unwrap_err();
    assert_eq!(wrong.code(), Code::OutOfRange, "{wrong}");
    let rest = file.parts(&again.upload_id, 1 << 20, file.content.len());
    assert_eq!(send(&bed, rest).await.unwrap(), file.content.len() as u64);
    let stored = commit(&bed, &again.upload_id).await.unwrap();
    assert_eq!(commit(&bed, &again.upload_id).await.unwrap(), stored, "once is as good as twice");

    let day = (past()).format("%Y/%m/%d").to_string();
    assert!(
        stored.path.starts_with("london-01/ping/") && stored.path.ends_with(&format!("{}/{NAME}", file.run))
    );
    assert!(
        stored.path.contains(&day)
            || stored.path.contains(&(past() - TimeDelta::hours(1)).format("%Y/%m/%d").to_string())
    );
    assert_eq!(download(&bed, "bob", &file.run, 0).await.unwrap(), file.content);
    let tail = file.content.len() as u64 - 5;
    assert_eq!(download(&bed, "alice", &file.run, tail).await.unwrap(), file.content[tail as usize..]);
    assert!(download(&bed, "bob", &file.run, file.content.len() as u64).await.unwrap().is_empty());
    assert_eq!(download(&bed, "bob", &file.run, u64::MAX).await.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(download(&bed, "carol", &file.run, 0).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(download(&bed, "london-01", &file.run, 0).await.unwrap_err().code(), Code::PermissionDenied);

    let request = v1::ListArtifactsRequest { run_id: file.run.clone() };
    let listed = bed.connect("bob").testbed().list_artifacts(request).await.unwrap().into_inner().artifacts;
    assert_eq!(listed, [stored]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_file_is_never_replaced() {
    let bed = with_job().await;
    let mut file = run_with_file(&bed).await;
    let begun = begin(&bed, &file).await.unwrap();
    send(&bed, file.parts(&begun.upload_id, 0, file.content.len())).await.unwrap();
    commit(&bed, &begun.upload_id).await.unwrap();
    let again = begin(&bed, &file).await.unwrap();
    assert_eq!(again.offset, file.content.len() as u64, "nothing is left to send");
    file.content[0] ^= 1;
    assert_eq!(begin(&bed, &file).await.unwrap_err().code(), Code::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_was_announced_is_refused() {
    let bed = with_job().await;
    let file = run_with_file(&bed).await;
    let mut announced = file.begin();
    announced.sha256 = vec![7; 32].into();
    let mut node = bed.connect("london-01").node();
    let begun = node.begin_upload(announced.clone()).await.unwrap().into_inner();
    send(&bed, file.parts(&begun.upload_id, 0, file.content.len())).await.unwrap();
    let error = commit(&bed, &begun.upload_id).await.unwrap_err();
    assert_eq!(error.code(), Code::DataLoss, "{error}");
    assert_eq!(node.begin_upload(announced).await.unwrap().into_inner().offset, 0, "it begins anew");
    let request = v1::ListArtifactsRequest { run_id: file.run.clone() };
    assert!(bed.alice().list_artifacts(request).await.unwrap().into_inner().artifacts.is_empty());

    let mut bad = file.begin();
    bad.name = "../../etc/passwd".to_owned();
    assert_eq!(node.begin_upload(bad).await.unwrap_err().code(), Code::InvalidArgument);
    let mut other = file.begin();
    other.node = "paris-01".to_owned();
    let refused = bed.connect("paris-01").node().begin_upload(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let mut unknown = file.begin();
    unknown.run_id = "00000000-0000-5000-8000-000000000000".to_owned();
    assert_eq!(node.begin_upload(unknown).await.unwrap_err().code(), Code::NotFound);
    // Whoever guesses the id of an upload still is not its node.
    let parts = tokio_stream::iter(file.parts(&begun.upload_id, 0, 10));
    let stolen = bed.connect("paris-01").node().upload(parts).await.unwrap_err();
    assert_eq!(stolen.code(), Code::PermissionDenied, "{stolen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_is_a_file() {
    let bed = with_job().await;
    let file = File { content: Vec::new(), ..run_with_file(&bed).await };
    let begun = begin(&bed, &file).await.unwrap();
    assert_eq!(commit(&bed, &begun.upload_id).await.unwrap().size, 0);
    assert!(download(&bed, "bob", &file.run, 0).await.unwrap().is_empty());
}
