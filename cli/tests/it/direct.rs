//! Files from a store that serves them itself.

use std::fs;

use almanac_cli::Exit;

use crate::{
    reconciler::{COMPLETED, File, State},
    store::{Deed, Store},
    typed::{Desk, Said},
};

fn content() -> Vec<u8> {
    (0..50_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// Downloads a file from a store that does these things in turn.
async fn download(deeds: impl IntoIterator<Item = Deed>) -> (Desk, Store, Said) {
    let store = Store::start(&content(), deeds).await;
    let file = File::new("artifacts.bin", &content());
    let state = State { files: vec![file], store: Some(store.address.clone()), ..State::default() };
    let desk = Desk::new(state).await;
    let said = again(&desk).await;
    (desk, store, said)
}

async fn again(desk: &Desk) -> Said {
    desk.type_(&format!("runs download 8d86 --to {}/results", desk.path().display())).await
}

fn arrived(desk: &Desk) -> Option<Vec<u8>> {
    fs::read(desk.path().join("results").join(COMPLETED).join("artifacts.bin")).ok()
}

#[tokio::test]
async fn a_large_file_comes_from_its_store_and_never_through_the_reconciler() {
    let (desk, store, said) = download([]).await;
    assert_eq!(said.exit, Exit::Done, "{said}");
    assert!(arrived(&desk) == Some(content()));
    assert_eq!(store.asked(), [("/artifacts.bin?grant=1".to_owned(), String::new(), true)]);
    assert!(desk.reconciler.asked().iter().all(|question| !question.starts_with("DownloadArtifact")));
}

#[tokio::test]
async fn what_is_cut_off_or_has_expired_goes_on_with_a_new_grant() {
    let deeds = [
        Deed::Cut(70_000),
        Deed::Status("403 Forbidden"),
        Deed::Status("503 Slow Down"),
        Deed::Cut(50_000),
        // This one has forgotten what a range is.
        Deed::All,
    ];
    let (desk, store, said) = download(deeds).await;
    assert_eq!(said.exit, Exit::Done, "{said}");
    assert!(arrived(&desk) == Some(content()));
    let ranges: Vec<_> = store.asked().into_iter().map(|(path, range, _)| (path, range)).collect();
    let asked = |grant: usize, range: &str| (format!("/artifacts.bin?grant={grant}"), range.to_owned());
    assert_eq!(
        ranges,
        [
            asked(1, ""),
            asked(2, "bytes=70000-"),
            asked(3, "bytes=70000-"),
            asked(4, "bytes=70000-"),
            asked(5, "bytes=120000-")
        ]
    );
}

#[tokio::test]
async fn a_store_that_does_not_send_is_said_and_what_came_is_kept() {
    // It has to say so five times in a row.
    let refusals = std::iter::repeat_n(Deed::Status("503 Slow Down"), 4);
    let (desk, store, said) = download([Deed::Cut(70_000)].into_iter().chain(refusals)).await;
    assert_eq!(said.exit, Exit::Unavailable, "{said}");
    assert!(said.err.contains("the store does not send artifacts.bin: 503"), "{said}");
    assert!(!said.err.contains("grant="), "an address that carries its permission is not repeated: {said}");
    assert!(arrived(&desk).is_none());
    let said = again(&desk).await;
    assert!(said.out.contains("resumed"), "{said}");
    assert!(arrived(&desk) == Some(content()));
    assert_eq!(store.asked().last().unwrap().1, "bytes=70000-");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_file_that_is_gone_is_not_asked_for_again() {
    for status in ["307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/elsewhere", "404 Not Found"] {
        let (desk, store, said) = download([Deed::Status(status)]).await;
        assert_eq!(said.exit, Exit::Failed, "{said}");
        assert!(said.err.contains(&status[..3]), "{said}");
        assert_eq!(store.asked().len(), 1, "{status}");
        assert!(arrived(&desk).is_none());
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_from_here_is_gone_around() {
    // Nothing listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let files = vec![File::new("artifacts.bin", &content()), File::new("more.bin", &content())];
    let desk = Desk::new(State { files, store: Some(address), ..State::default() }).await;
    let said = again(&desk).await;
    assert_eq!(said.exit, Exit::Done, "{said}");
    assert!(arrived(&desk) == Some(content()));
    let note = "the store at 127.0.0.1 cannot be reached from here: its files came through the reconciler";
    assert_eq!(said.err.matches(note).count(), 1, "{said}");
}

#[tokio::test]
async fn what_expires_on_its_way_is_said_to_have_expired() {
    let store = Store::start(&content(), [Deed::Status("404 Not Found")]).await;
    let file = File::new("artifacts.bin", &content());
    let address = Some(store.address.clone());
    let state = State { files: vec![file], store: address, expires_after: Some(1), ..State::default() };
    let desk = Desk::new(state).await;
    let said = again(&desk).await;
    assert_ne!(said.exit, Exit::Done, "{said}");
    assert!(said.err.contains("`artifacts.bin` expired") && !said.err.contains("404"), "{said}");
    assert_eq!(store.asked().len(), 1);
}

#[tokio::test]
async fn what_the_store_changed_does_not_count() {
    let store = Store::start(&vec![7; content().len()], []).await;
    let file = File::new("artifacts.bin", &content());
    let state = State { files: vec![file], store: Some(store.address.clone()), ..State::default() };
    let desk = Desk::new(state).await;
    let said = again(&desk).await;
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("does not have the SHA-256"), "{said}");
    assert!(arrived(&desk).is_none());
}
