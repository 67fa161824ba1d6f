//! What syncs found and changed comes in pages, none of which is too large to be sent.

use almanac_proto::{
    limits::MAX_MESSAGE,
    v1::{self, ChangeAction},
};
use prost::Message;
use tonic::Code;

use crate::harness::{Looked, Testbed, manifest};

/// Follows a list by its calls: asks for page after page, and returns them.
macro_rules! pages {
    ($client:expr, $call:ident, $request:expr) => {{
        let mut request = $request;
        let mut pages = vec![];
        loop {
            let page = $client.$call(request.clone()).await.unwrap().into_inner();
            request.page_token = page.next_page_token.clone();
            pages.push(page);
            if request.page_token.is_empty() {
                break pages;
            }
            assert!(pages.len() < 1_000, "a list that has no end");
        }
    }};
}

/// A job that carries so many bytes of settings, each of which is the same letter.
fn write_large(testbed: &Testbed, name: &str, letter: &str, bytes: usize) {
    let job = manifest::job(name, "bob", "london-01", manifest::HOURLY);
    let content = format!("{job}  config: {{ data: {} }}\n", letter.repeat(bytes));
    testbed.repository.write(&format!("jobs/{name}.yaml"), content);
}

/// The settings of one side of a change.
fn settings(json: &str) -> Option<String> {
    let manifest: serde_json::Value = serde_json::from_str(json).ok()?;
    manifest["spec"]["config"]["data"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_sync_that_is_larger_than_a_message_is_read_in_pages() {
    const BYTES: usize = 500_000;
    let testbed = Testbed::start().await;
    let names: Vec<String> = (0..40).map(|number| format!("large-{number:02}")).collect();
    for (letter, action) in [("a", ChangeAction::Added), ("b", ChangeAction::Changed)] {
        for name in &names {
            write_large(&testbed, name, letter, BYTES);
        }
        let commit = testbed.push("much at once").await;
        let mut bob = testbed.ask("bob");
        let request = v1::GetSyncRequest { id: commit };
        let sync = bob.get_sync(request).await.unwrap().into_inner().sync.unwrap();
        assert_eq!(sync.added + sync.changed, 40, "{sync:?}");

        for page_size in [0, 1_000] {
            let request = v1::ListSyncChangesRequest { sync_id: sync.id, page_size, ..Default::default() };
            let pages = pages!(bob, list_sync_changes, request);
            let sizes: Vec<usize> = pages.iter().map(Message::encoded_len).collect();
            assert!(sizes.iter().sum::<usize>() > MAX_MESSAGE, "{sizes:?}");
            assert!(sizes.iter().all(|size| *size < MAX_MESSAGE / 2), "{sizes:?}");
            let changes: Vec<v1::Change> = pages.into_iter().flat_map(|page| page.changes).collect();
            assert_eq!(
                changes.iter().map(|change| &change.name).collect::<Vec<_>>(),
                names.iter().collect::<Vec<_>>()
            );
            for change in changes {
                assert_eq!(change.action(), action);
                assert_eq!(settings(&change.after), Some(letter.repeat(BYTES)), "{}", change.name);
                let before = (action == ChangeAction::Changed).then(|| "a".repeat(BYTES));
                assert_eq!(settings(&change.before), before, "{}", change.name);
            }
        }
    }
}

#[tokio::test]
async fn a_history_that_is_larger_than_a_message_is_read_in_pages() {
    let testbed = Testbed::start().await;
    let mut commits = vec![];
    for letter in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        write_large(&testbed, "large", letter, 1_000_000);
        commits.push(testbed.push(letter).await);
    }
    commits.reverse();
    let request =
        v1::ListChangesRequest { kind: "Job".to_owned(), name: "large".to_owned(), ..Default::default() };
    let pages = pages!(testbed.ask("bob"), list_changes, request);
    let sizes: Vec<usize> = pages.iter().map(Message::encoded_len).collect();
    assert!(sizes.iter().sum::<usize>() > MAX_MESSAGE, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size < MAX_MESSAGE / 2), "{sizes:?}");
    let seen = pages.into_iter().flat_map(|page| page.changes).map(|change| change.sync.unwrap().commit);
    assert_eq!(seen.collect::<Vec<_>>(), commits);
}

#[tokio::test]
async fn findings_changes_and_actions_are_paged() {
    let testbed = Testbed::with_jobs().await;
    let good = Looked::at(&mut testbed.ask("bob"), "").await.unwrap();
    for name in ["a", "b", "c"] {
        testbed.write_job(name, "mallory", "london-01", manifest::HOURLY);
    }
    let bad = testbed.push_and_look("three jobs of nobody").await;
    let (good_id, bad_id) = (good.sync.unwrap().id, bad.sync.unwrap().id);
    assert_eq!((good.changes.len(), bad.findings.len()), (8, 3));
    let mut bob = testbed.ask("bob");

    for (page_size, count) in [(1, 3), (2, 2), (3, 1), (4, 1)] {
        let request = v1::ListSyncFindingsRequest { sync_id: bad_id, page_size, ..Default::default() };
        let pages = pages!(bob, list_sync_findings, request);
        assert_eq!(pages.len(), count, "{page_size}");
        assert_eq!(pages.into_iter().flat_map(|page| page.findings).collect::<Vec<_>>(), bad.findings);
    }
    for (page_size, count) in [(1, 8), (3, 3), (8, 1)] {
        let request = v1::ListSyncChangesRequest { sync_id: good_id, page_size, ..Default::default() };
        let pages = pages!(bob, list_sync_changes, request);
        assert_eq!(pages.len(), count, "{page_size}");
        assert_eq!(pages.into_iter().flat_map(|page| page.changes).collect::<Vec<_>>(), good.changes);
    }

    let mut alice = testbed.ask("alice");
    for reason in ["one", "two", "three"] {
        let request = v1::SuspendSyncRequest { reason: reason.to_owned(), until: None };
        alice.suspend_sync(request).await.unwrap();
    }
    for (page_size, count) in [(1, 3), (2, 2), (3, 1), (0, 1)] {
        let request = v1::ListSyncActionsRequest { page_size, ..Default::default() };
        let pages = pages!(bob, list_sync_actions, request);
        assert_eq!(pages.len(), count, "{page_size}");
        let reasons = pages.into_iter().flat_map(|page| page.actions).map(|action| action.reason);
        assert_eq!(reasons.collect::<Vec<_>>(), ["three", "two", "one"]);
    }
}

#[tokio::test]
async fn a_page_of_nothing_and_a_wrong_token_are_refused() {
    let testbed = Testbed::with_jobs().await;
    let mut bob = testbed.ask("bob");
    for sync_id in [0, 99, u64::MAX] {
        let findings = v1::ListSyncFindingsRequest { sync_id, ..Default::default() };
        assert_eq!(bob.list_sync_findings(findings).await.unwrap_err().code(), Code::NotFound, "{sync_id}");
        let changes = v1::ListSyncChangesRequest { sync_id, ..Default::default() };
        assert_eq!(bob.list_sync_changes(changes).await.unwrap_err().code(), Code::NotFound, "{sync_id}");
    }
    // In hexadecimal: `-1` and `x`.
    for (page_size, token) in [(-1, ""), (0, "2d31"), (0, "78"), (0, "zz")] {
        let page_token = token.to_owned();
        let findings = v1::ListSyncFindingsRequest { sync_id: 1, page_size, page_token: page_token.clone() };
        let changes = v1::ListSyncChangesRequest { sync_id: 1, page_size, page_token: page_token.clone() };
        let actions = v1::ListSyncActionsRequest { page_size, page_token };
        let codes = [
            bob.list_sync_findings(findings).await.unwrap_err().code(),
            bob.list_sync_changes(changes).await.unwrap_err().code(),
            bob.list_sync_actions(actions).await.unwrap_err().code(),
        ];
        assert_eq!(codes, [Code::InvalidArgument; 3], "{page_size} {token}");
    }
}
