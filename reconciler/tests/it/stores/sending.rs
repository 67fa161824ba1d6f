//! How files come to a store, and are fetched from it.

use std::{fs, time::Duration};

use almanac_proto::v1;
use almanac_reconciler::store::{PartRow, Store};
use chrono::{TimeDelta, Utc};
use tonic::Code;

use super::world::{File, MIB, Server, World, begin, make};
use crate::{
    harness::{http, run_id},
    transfers::at,
};

mod each {
    super::super::on_each_store! {
        a_file_goes_to_the_store_itself_and_is_fetched_from_it
        an_upload_goes_on_where_it_stopped
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
