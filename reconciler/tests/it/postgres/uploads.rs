//! A file that its node sends to the store itself, by grants of whichever reconciler it reaches.

use almanac_proto::v1::{self, Phase};
use almanac_tests::object_store::{RESULTS, S3};
use md5::{Digest, Md5};
use sha2::Sha256;

use crate::{
    harness::{Replica, Testbed, http, instant, manifest, run_id, wait_for, whole_run},
    transfers::noise,
};

const AT: &str = "2030-01-01T12:00:00Z";

const MIB: usize = 1 << 20;

/// Where each part ends.
const ENDS: [usize; 4] = [5 * MIB, 10 * MIB, 15 * MIB, 16 * MIB];

/// Sends a part with a grant of a reconciler, and says that the part before it is there.
async fn send(
    at: &Replica<'_>,
    upload_id: &str,
    content: &[u8],
    part: std::ops::Range<usize>,
    sent: Option<v1::SentPart>,
) -> Option<v1::SentPart> {
    let data = &content[part.clone()];
    let (offset, length) = (part.start as u64, data.len() as u64);
    let md5 = Md5::digest(data).to_vec().into();
    let request = v1::GrantPartRequest { upload_id: upload_id.to_owned(), offset, length, md5, sent };
    let granted = at.agent("london-01").grant_part(request).await.unwrap().into_inner();
    assert_eq!(granted.offset, offset, "what the other one was told is known here");
    let request = granted.request.unwrap();
    let mut making = http().request(request.method.parse().unwrap(), &request.url);
    for (name, value) in &request.headers {
        making = making.header(name, value);
    }
    let answer = making.body(data.to_vec()).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    Some(v1::SentPart { offset, length, etag })
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn parts_are_granted_by_both_and_the_file_is_stored_once() {
    let s3 = S3::start();
    let testbed = Testbed::prepare_on_postgres().where_settings_name_the_store();
    let secret = |name: &str, secret: &str| {
        let path = testbed.folder().join(name);
        std::fs::write(&path, secret).unwrap();
        format!("{{ fromFile: {} }}", path.display())
    };
    let artifacts = format!(
        "store: s3://{RESULTS}\nendpoint: http://127.0.0.1:{}\ncredentials:\n  accessKeyId: {}\n  secretAccessKey: {}\n",
        s3.port(),
        secret("id", S3::KEY_ID),
        secret("secret", S3::SECRET)
    );
    testbed.repository.write("config.yaml", manifest::config(&artifacts));
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    let commit = testbed.repository.push("users, nodes, a job and settings");
    let one = Replica::start(&testbed, "one").await;
    one.serves(&commit).await;
    let other = Replica::start(&testbed, "two").await;
    other.serves(&commit).await;
    let events = whole_run("ping", "london-01", instant(AT))[..3].to_vec();
    assert_eq!(events[2].phase(), Phase::Uploading);
    let report = v1::ReportRunsRequest { node: "london-01".to_owned(), events };
    one.agent("london-01").report_runs(report).await.unwrap();

    let content = noise(ENDS[3]);
    let announcement = v1::BeginUploadRequest {
        node: "london-01".to_owned(),
        run_id: run_id("ping", "london-01", instant(AT)),
        role: v1::Role::Client.into(),
        name: "artifacts.tar.zst".to_owned(),
        size: content.len() as u64,
        sha256: Sha256::digest(&content).to_vec().into(),
        direct: true,
        ..Default::default()
    };
    let begun = one.agent("london-01").begin_upload(announcement.clone()).await.unwrap().into_inner();
    let id = begun.upload_id;
    let sent = send(&one, &id, &content, 0..ENDS[0], None).await;
    let sent = send(&other, &id, &content, ENDS[0]..ENDS[1], sent).await;
    let sent = send(&one, &id, &content, ENDS[1]..ENDS[2], sent).await;
    // The node asks where it is, of the one that survives. The last part was not confirmed to anybody.
    one.into_daemon().kill();
    let again = other.agent("london-01").begin_upload(announcement.clone()).await.unwrap().into_inner();
    assert_eq!((again.upload_id, again.offset), (id.clone(), ENDS[1] as u64));
    let sent = send(&other, &id, &content, ENDS[2]..ENDS[3], sent).await;

    // Its answer is slow, and the node asks another one, while that one goes on.
    let third = Replica::start(&testbed, "three").await;
    third.serves(&commit).await;
    let commit = v1::CommitUploadRequest { upload_id: id, sent };
    let stored = wait_for("the file to be stored", async || {
        let (mut one, mut other) = (other.agent("london-01"), third.agent("london-01"));
        let (one, other) =
            tokio::join!(one.commit_upload(commit.clone()), other.commit_upload(commit.clone()));
        // Of two at once, one may be told to try again; none may be told that the file is not what it is.
        for refused in [&one, &other].into_iter().filter_map(|answer| answer.as_ref().err()) {
            assert!(!refused.message().contains("SHA-256"), "{refused}");
        }
        Some((one.ok()?.into_inner().artifact?, other.ok()?.into_inner().artifact?))
    })
    .await;
    assert_eq!(stored.0, stored.1, "it is stored once");
    assert_eq!(std::fs::read(s3.bucket().join(&stored.0.path)).unwrap(), content);
    let again = third.agent("london-01").begin_upload(announcement).await.unwrap().into_inner();
    assert_eq!(again.offset, content.len() as u64);
}
