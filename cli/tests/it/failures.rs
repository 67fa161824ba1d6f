//! What a command says when it cannot do what was asked.

use std::{fs, os::unix::fs::PermissionsExt};

use tonic::Status;

use almanac_cli::Exit;

use crate::{
    reconciler::State,
    typed::{Desk, named},
};

#[tokio::test]
async fn what_is_not_there_is_an_answer_of_no() {
    let desk = Desk::new(State::default()).await;
    for command in [
        "nodes show pariss-01",
        "jobs show nothing",
        "runs show ffff",
        "sync show 99",
        "jobs history nothing",
    ] {
        let said = desk.type_(command).await;
        insta::assert_snapshot!(named(&format!("failure {command}")), said);
    }
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let desk = Desk::new(State::default()).await;
    for (name, refusal, exit) in [
        ("permission", Status::permission_denied("only admins may do that"), Exit::Unauthorised),
        ("precondition", Status::failed_precondition("no commit waits for an approval"), Exit::Negative),
        ("argument", Status::invalid_argument("`from` and `to` are more than 92 days apart"), Exit::Usage),
        ("unavailable", Status::unavailable("the reconciler is starting"), Exit::Unavailable),
        ("deadline", Status::deadline_exceeded("too slow"), Exit::Unavailable),
        ("internal", Status::internal("the database is locked"), Exit::Failed),
        ("unimplemented", Status::unimplemented(""), Exit::Failed),
    ] {
        desk.reconciler.state.lock().unwrap().refusal = Some(refusal);
        let said = desk.type_("sync now").await;
        assert_eq!(said.exit, exit);
        insta::assert_snapshot!(named(&format!("refusal {name}")), said);
    }
}

#[tokio::test]
async fn an_unknown_caller_learns_which_key_and_user_were_used() {
    let desk = Desk::new(State::default()).await;
    let refusal = Status::unauthenticated("the key is not declared for `alice`");
    desk.reconciler.state.lock().unwrap().refusal = Some(refusal);
    let said = desk.type_("whoami").await;
    assert_eq!(said.exit, Exit::Unauthorised);
    let start = "error: http://RECONCILER does not accept you as `alice`: the key is not declared for `alice`\nhelp: the token was signed with ~/.ssh/id_ed25519 (SHA256:";
    assert!(said.err.starts_with(start), "{said}");
    assert!(said.err.contains("among the `keys` of the manifest of `alice`"), "{said}");
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_named() {
    let mut desk = Desk::new(State::default()).await;
    // The port is free again as soon as the listener is dropped.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    desk.address = format!("http://{free}");
    insta::assert_snapshot!("unreachable", desk.type_("nodes list").await);
    desk.address = "http://testbed.example.org:7600".to_owned();
    insta::assert_snapshot!("plain_connection", desk.type_("nodes list").await);
    desk.address = "testbed".to_owned();
    insta::assert_snapshot!("no_address", desk.type_("nodes list").await);
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_named() {
    let desk = Desk::new(State::default()).await;
    let key = desk.path().join(".ssh/id_ed25519");
    insta::assert_snapshot!("no_key", desk.type_("--key ~/missing nodes list").await);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    insta::assert_snapshot!("open_key", desk.type_("nodes list").await);
    fs::remove_file(&key).unwrap();
    let said = desk.type_("nodes list").await;
    insta::assert_snapshot!("default_key_missing", said);
}

#[tokio::test]
async fn what_is_typed_wrongly_is_explained() {
    let desk = Desk::new(State::default()).await;
    for line in [
        "runs list --since 2h",
        "runs list --since 2027-01-10T12:00:00",
        "runs list --phase done",
        "nodes show London",
        "runs download",
        "runs download 8d86 --job ping",
        "whoami --user bob",
        "runs lst",
        "sync suspend",
        "sync suspend --reason moving --for 2",
        "sync suspend --reason moving --for 0s",
        "sync pin --reason compare",
    ] {
        let said = desk.type_(line).await;
        assert_eq!(said.exit, Exit::Usage);
        insta::assert_snapshot!(named(&format!("usage {line}")), said);
    }
}
