//! The port that everything is served on.

use std::time::Instant;

use almanac_reconciler::{causes::chain, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::bed::{Bed, snapshot};

#[tokio::test]
async fn a_port_in_use_is_named() {
    let bed = Bed::new();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = bed.serve_settings();
    settings.listen = taken.local_addr().unwrap();
    let said = chain(serve::start(settings.clone()).await.unwrap_err().as_ref());
    assert!(said.contains(&settings.listen.to_string()) && said.contains("in use"), "{said}");
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_said_before_anything_is_served() {
    let bed = Bed::new();
    let mut settings = bed.serve_settings();
    settings.common.location = almanac_reconciler::source::Location::Local(bed.path().join("nowhere"));
    let said = chain(serve::start(settings).await.unwrap_err().as_ref());
    assert!(said.contains("nowhere"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_over_http_on_the_same_port() {
    let bed = Bed::serving().await;
    let mut stream = TcpStream::connect(bed.address().trim_start_matches("http://")).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: almanac\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
}

/// An agent's stream never ends by itself, and yet stopping does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_streams_at_once() {
    let mut bed = Bed::serving().await;
    let mut london = bed.watch("london-01").await;
    snapshot(&mut london).await;
    let begun = Instant::now();
    bed.stop().await;
    assert!(begun.elapsed() < serve::GRACE / 2);
    assert!(london.message().await.is_err());
}
