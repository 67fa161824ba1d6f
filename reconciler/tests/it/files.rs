//! Many small files at once, and what a list of runs says of each.

use std::fs;

use almanac_proto::{limits, v1};
use almanac_schemas::RunId;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::harness::{Testbed, instant, manifest, run_id, whole_run};

fn at(hour: i64) -> DateTime<Utc> {
    instant("2030-01-01T00:00:00Z") + TimeDelta::hours(hour)
}

fn content(hour: i64, length: usize) -> Vec<u8> {
    hour.to_string().into_bytes().into_iter().cycle().take(length).collect()
}

async fn upload(testbed: &Testbed, hour: i64, name: &str, length: usize) -> v1::Artifact {
    let content = content(hour, length);
    let mut agent = testbed.agent("london-01");
    let begin = v1::BeginUploadRequest {
        node: "london-01".to_owned(),
        run_id: run_id("ping", "london-01", at(hour)),
        role: v1::Role::Client.into(),
        name: name.to_owned(),
        size: content.len() as u64,
        sha256: Sha256::digest(&content).to_vec().into(),
        content: (length <= limits::MAX_CONTENT).then(|| content.clone().into()),
        direct: false,
    };
    let begun = agent.begin_upload(begin).await.unwrap().into_inner();
    if let Some(artifact) = begun.artifact {
        return artifact;
    }
    let upload_id = begun.upload_id.clone();
    let part = v1::UploadRequest { upload_id, offset: 0, data: content.into(), crc32: None };
    agent.upload(tokio_stream::iter([part])).await.unwrap();
    let commit = v1::CommitUploadRequest { upload_id: begun.upload_id, sent: None };
    agent.commit_upload(commit).await.unwrap().into_inner().artifact.unwrap()
}

fn name(run: &str, name: &str) -> v1::FileName {
    v1::FileName { run_id: run.to_owned(), role: v1::Role::Client.into(), name: name.to_owned() }
}

/// What is answered, in the order in which it comes.
async fn download(
    testbed: &Testbed,
    who: &str,
    files: Vec<v1::FileName>,
) -> Result<Vec<(u32, Result<Vec<u8>, Code>)>, tonic::Status> {
    let request = v1::DownloadFilesRequest { files };
    let mut stream = testbed.ask(who).download_files(request).await?.into_inner();
    let mut found = Vec::new();
    while let Some(message) = stream.message().await? {
        for file in message.files {
            let outcome = match file.outcome.unwrap() {
                v1::downloaded_file::Outcome::Content(content) => Ok(content.to_vec()),
                v1::downloaded_file::Outcome::Refusal(refusal) => {
                    assert!(!refusal.message.is_empty());
                    Err(Code::from(refusal.code))
                }
            };
            found.push((file.index, outcome));
        }
    }
    Ok(found)
}

#[tokio::test]
async fn small_files_come_together_and_each_is_refused_by_itself() {
    let testbed = Testbed::with_jobs().await;
    let mut wanted = Vec::new();
    let mut expected = Vec::new();
    for hour in 0..20 {
        testbed.report("london-01", whole_run("ping", "london-01", at(hour))).await;
        // Together more than what one message brings.
        let length =
            if hour % 7 == 0 { 0 } else { limits::MAX_CONTENT - 20 + usize::try_from(hour).unwrap() };
        let artifact = upload(&testbed, hour, "run.log", length).await;
        wanted.push(name(&artifact.run_id, "run.log"));
        expected.push(Ok(content(hour, length)));
    }
    let run = wanted[0].run_id.clone();
    let large = upload(&testbed, 1, "large.bin", limits::MAX_CONTENT + 1).await;
    let lost = upload(&testbed, 2, "lost.bin", 10).await;
    fs::remove_file(testbed.store().join(&lost.path)).unwrap();
    testbed.report("paris-01", whole_run("trace", "paris-01", at(0))).await;
    for (file, code) in [
        (name(&run, "nosuch"), Code::NotFound),
        (name(&run, "../run.log"), Code::NotFound),
        (name(&large.run_id, "large.bin"), Code::OutOfRange),
        (name(&lost.run_id, "lost.bin"), Code::NotFound),
        (name("ffffffff-ffff-5fff-8fff-ffffffffffff", "run.log"), Code::NotFound),
        // That of somebody else is like one that is not there.
        (name(&run_id("trace", "paris-01", at(0)), "run.log"), Code::NotFound),
    ] {
        wanted.insert(5, file);
        expected.insert(5, Err(code));
    }
    let found = download(&testbed, "bob", wanted.clone()).await.unwrap();
    let expected: Vec<_> = (0..).zip(expected).collect();
    assert!(
        found == expected,
        "{:?}",
        found.iter().map(|(index, file)| (index, file.as_ref().err())).collect::<Vec<_>>()
    );

    // A node sees its runs, and does not download.
    let found = download(&testbed, "london-01", vec![name(&run, "run.log")]).await.unwrap();
    assert_eq!(found, [(0, Err(Code::PermissionDenied))]);
    let found = download(&testbed, "dave", vec![name(&run, "run.log")]).await.unwrap();
    assert_eq!(found, [(0, Err(Code::NotFound))]);
    assert_eq!(download(&testbed, "bob", vec![]).await.unwrap(), []);
    // One that is asked for twice is sent once.
    let found = download(&testbed, "bob", vec![name(&run, "run.log"); 2]).await.unwrap();
    assert_eq!(found, [(0, Ok(vec![])), (1, Err(Code::NotFound))]);
    let too_many = vec![name(&run, "run.log"); limits::MAX_FILES + 1];
    assert_eq!(download(&testbed, "bob", too_many).await.unwrap_err().code(), Code::InvalidArgument);
    for wrong in [name("8d86", "run.log"), v1::FileName { role: 0, ..name(&run, "run.log") }] {
        assert_eq!(download(&testbed, "bob", vec![wrong]).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_list_brings_files_images_and_delays_where_it_is_asked_to() {
    let testbed = Testbed::start().await;
    let schedule = manifest::HOURLY.replace("length", "jitter: 10s, length");
    let served = manifest::served_job("iperf", "bob", "london-01", "paris-01", &schedule);
    testbed.repository.write("jobs/iperf.yaml", &served);
    let commit = testbed.push("a job with a server").await;
    let mut events = whole_run("iperf", "london-01", at(0));
    events.iter_mut().for_each(|event| event.commit.clone_from(&commit));
    testbed.report("london-01", events).await;
    // Of a job that has changed since, the run says what it was.
    testbed.repository.write("jobs/iperf.yaml", served.replace("probe:1", "probe:2"));
    let changed = testbed.push("another image").await;
    let mut later = whole_run("iperf", "london-01", at(1));
    later.iter_mut().for_each(|event| event.commit.clone_from(&changed));
    testbed.report("london-01", later).await;
    let mut unknown = whole_run("iperf", "london-01", at(2));
    unknown.iter_mut().for_each(|event| event.commit = "0000".to_owned());
    testbed.report("london-01", unknown).await;
    let begin = v1::BeginUploadRequest {
        node: "london-01".to_owned(),
        run_id: run_id("iperf", "london-01", at(0)),
        role: v1::Role::Client.into(),
        name: "run.log".to_owned(),
        size: 2,
        sha256: Sha256::digest("ok").to_vec().into(),
        content: Some("ok".into()),
        direct: false,
    };
    testbed.agent("london-01").begin_upload(begin).await.unwrap();

    let list = async |details| {
        let request = v1::ListRunsRequest { details, ..Default::default() };
        testbed.ask("bob").list_runs(request).await.unwrap().into_inner().runs
    };
    let plain = list(false).await;
    assert!(plain.iter().all(|run| run.artifacts.is_empty() && run.image.is_empty()));
    assert!(plain.iter().all(|run| run.start_skew_micros.is_none()));
    let runs = list(true).await;
    let images: Vec<_> = runs.iter().map(|run| run.image.as_str()).collect();
    assert_eq!(images, ["", "example.org/probe:2", "example.org/probe:1"]);
    let files: Vec<_> = runs.iter().map(|run| run.artifacts.len()).collect();
    assert_eq!(files, [0, 0, 1]);
    assert_eq!((runs[2].artifacts[0].name.as_str(), runs[2].artifacts[0].size), ("run.log", 2));
    // Running is the second step, two seconds after the instant; see `event`.
    let id: RunId = runs[2].id.parse().unwrap();
    let offset = id.offset(almanac_schemas::Duration::from_secs(10)).num_microseconds().unwrap();
    assert_eq!(runs[2].start_skew_micros, Some(2_000_000 - offset));
    assert_eq!(runs[0].start_skew_micros, None);

    let got = testbed.run(&runs[2].id).await;
    let steps = got.steps.clone();
    assert!(steps.len() > 2, "{steps:?}");
    assert_eq!(got.parts, [v1::Run { steps, ..runs[2].clone() }]);
    assert_eq!(got.artifacts, runs[2].artifacts);
    assert_eq!(got.run.unwrap(), v1::Run { artifacts: vec![], ..runs[2].clone() });
}
