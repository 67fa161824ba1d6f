//! What a grant allows, what becomes of what is sent otherwise, and that no grant or anything else tells a secret.

use std::fs;

use almanac_proto::v1;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use tonic::Code;

use super::world::{File, MIB, Server, World, make, md5};
use crate::{
    harness::{Tables, run_id},
    transfers::{at, noise},
};

mod each {
    super::super::on_each_store! {
        a_grant_is_for_one_file_and_replaces_nothing_that_is_stored
        what_is_not_what_was_announced_is_refused_and_sent_again
        no_secret_is_told_logged_or_stored
    }
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
    let tables = Tables::read(world.testbed.database()).await;
    assert_eq!(tables.with(secret), <[&str; 0]>::default(), "the secret is in the database");
    assert!(tables.with(&artifact.path).contains(&"artifacts"), "that is how it would be found");
}
