//! Stores that are away or full, and settings of stores that are wrong or others than before.

use std::fs;

use almanac_proto::v1;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::TimeDelta;
use tonic::Code;

use super::world::{File, MIB, Server, World, begin};
use crate::{
    harness::{Mood, event, manifest},
    transfers::at,
};

mod each {
    super::super::on_each_store! {
        a_store_that_is_away_is_waited_for_and_holds_nothing_up
        what_keeps_a_store_from_taking_files_is_said_and_counted
        a_wrong_secret_is_named_and_a_right_one_counts_at_once
    }
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
