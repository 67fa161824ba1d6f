//! Others are told what became of commits: all of it, in order, however often they fail.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use almanac_reconciler::{
    clock,
    lead::Leadership,
    notify::{About, Deliver, Event, Notice, Target, TargetKind},
    secret::SecretSource,
    store::{LookRow, Store},
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    bed::Bed,
    harness::{Answer, Testbed, Web, manifest, wait_for},
};

/// A request that a receiver took.
#[derive(Debug, Clone)]
struct Taken {
    path: String,
    headers: HeaderMap,
    body: Value,
    text: Bytes,
}

/// A server on loopback that takes every other request and refuses the rest.
#[derive(Debug, Default)]
struct Receiver {
    taken: Vec<Taken>,
    asked: u32,
    /// Whether it refuses everything.
    down: bool,
    /// Whether it takes everything but what says `poison`.
    fussy: bool,
}

type Shared = Arc<Mutex<Receiver>>;

async fn receive(
    State(receiver): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let mut receiver = receiver.lock().unwrap();
    receiver.asked += 1;
    if receiver.fussy && String::from_utf8_lossy(&body).contains("poison") {
        return (StatusCode::UNPROCESSABLE_ENTITY, "there is no such commit");
    }
    if receiver.down || receiver.asked % 2 == 1 && !receiver.fussy {
        return (StatusCode::INTERNAL_SERVER_ERROR, "not now");
    }
    let taken = Taken {
        path: uri.path().to_owned(),
        headers,
        body: serde_json::from_slice(&body).unwrap(),
        text: body,
    };
    receiver.taken.push(taken);
    (StatusCode::CREATED, "")
}

impl Receiver {
    async fn start() -> (Shared, String) {
        let receiver = Shared::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(receive).with_state(Arc::clone(&receiver));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (receiver, address)
    }
}

/// What a receiver took whose path contains a text.
fn taken(receiver: &Shared, path: &str) -> Vec<Taken> {
    receiver.lock().unwrap().taken.iter().filter(|taken| taken.path.contains(path)).cloned().collect()
}

/// Serves with all four kinds of targets at one address.
async fn serve(testbed: &mut Testbed, address: &str) {
    let folder = testbed.folder().to_owned();
    std::fs::write(folder.join("secret"), "canary-of-notifications\n").unwrap();
    let secret = format!("secret = \"file:{}/secret\"\nurl = \"{address}", folder.display());
    let forge = |name: &str| {
        format!(
            "[[notify]]\nname = \"{name}\"\nkind = \"{name}\"\nrepository = \"surrey/testbed\"\n{secret}/{name}\"\n"
        )
    };
    let text = format!(
        "{}{}{}[[notify]]\nname = \"chat\"\nkind = \"webhook\"\n{secret}/hook\"\n",
        forge("github"),
        forge("gitlab"),
        forge("gitea")
    );
    std::fs::write(folder.join("reconciler.toml"), text).unwrap();
    let config = folder.join("reconciler.toml");
    testbed.serve_with("http", &["--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()]).await;
}

#[tokio::test]
async fn every_transition_is_told_once_it_happened_though_half_of_the_requests_fail() {
    let (receiver, address) = Receiver::start().await;
    let mut testbed = Testbed::prepare();
    let first = testbed.repository.push("users and nodes");
    serve(&mut testbed, &address).await;
    testbed.wait_applied(&first).await;
    testbed.repository.write("jobs/bad.yaml", "kind: Job\n");
    let bad = testbed.repository.push("a bad one");
    testbed.wait_looked(&bad).await;
    testbed.repository.remove("jobs/bad.yaml");
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    let good = testbed.push("a good one").await;
    // Looking again is no transition.
    for _ in 0..3 {
        testbed.ask("alice").sync_now(almanac_proto::v1::SyncNowRequest {}).await.unwrap();
    }

    for (forge, word) in [("github", "failure"), ("gitlab", "failed"), ("gitea", "failure")] {
        let told = wait_for("the forge to be told", async || {
            let told = taken(&receiver, forge);
            (told.len() >= 3).then_some(told)
        })
        .await;
        let states: Vec<_> = told
            .iter()
            .map(|taken| {
                (
                    taken.path.rsplit('/').next().unwrap().to_owned(),
                    taken.body["state"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        let expected = [(&first, "success"), (&bad, word), (&good, "success")];
        assert_eq!(states, expected.map(|(commit, state)| (commit.clone(), state.to_owned())), "{forge}");
    }
    // The webhook hears of conditions besides.
    let told = wait_for("the webhook to be told", async || {
        let told = taken(&receiver, "hook");
        let ready = |taken: &&Taken| taken.body["condition"] == "Ready" && taken.body["status"] == true;
        (told.iter().filter(|taken| taken.body["event"] == "sync").count() == 3
            && told.iter().filter(ready).count() == 2)
            .then_some(told)
    })
    .await;
    let outcomes: Vec<_> =
        told.iter().filter_map(|taken| Some(taken.body.get("outcome")?.as_str()?.to_owned())).collect();
    assert_eq!(outcomes, ["applied", "rejected", "applied"]);
    let ready: Vec<_> = told
        .iter()
        .filter(|taken| taken.body["condition"] == "Ready")
        .map(|taken| taken.body["reason"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ready, ["AsDeclared", "Rejected", "AsDeclared"]);
    for taken in &told {
        assert_eq!((&taken.body["branch"], &taken.body["reconciler"]), (&"main".into(), &"almanac".into()));
        let mut mac = Hmac::<Sha256>::new_from_slice(b"canary-of-notifications").unwrap();
        mac.update(&taken.text);
        let signature: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(taken.headers["x-almanac-signature-256"], format!("sha256={signature}"));
    }
    let ids: Vec<i64> = told
        .iter()
        .map(|taken| taken.headers["x-almanac-delivery"].to_str().unwrap().parse().unwrap())
        .collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "told in order, and once each: {ids:?}");
    assert!(!testbed.log().contains("canary"), "{}", testbed.log());
}

/// What the webhook was told of the condition that something cannot be fetched.
fn unfetched(receiver: &Shared) -> Vec<(bool, String, String)> {
    let told = taken(receiver, "hook").into_iter().filter(|taken| taken.body["condition"] == "Unfetched");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    told.map(|taken| {
        let Taken { body, .. } = taken;
        (body["status"].as_bool().unwrap(), text(&body["reason"]), text(&body["message"]))
    })
    .collect()
}

#[tokio::test]
async fn whoever_is_told_hears_that_the_weather_cannot_be_fetched_and_that_it_can_again() {
    const LONDON: &str = "  coordinates: { latitude: 51.5074, longitude: -0.1278 }\n";
    let (receiver, address) = Receiver::start().await;
    let web = Web::start(Answer::Says(500, Vec::new(), "broken".to_owned())).await;
    let mut testbed = Testbed::prepare();
    let key = std::fs::read_to_string(testbed.folder().join("london-01.pub")).unwrap();
    let london = |more: &str| manifest::node("london-01", key.trim(), &format!("{LONDON}{more}"));
    testbed.repository.write("nodes/london-01.yaml", london("  telemetry: { weather: {} }\n"));
    let first = testbed.repository.push("a node that asks, and nobody to be asked");
    serve(&mut testbed, &address).await;
    testbed.wait_applied(&first).await;
    // What the last look saw is told; each look sees what was fetched by then.
    let told = async |count: usize| {
        wait_for("the webhook to be told", async || {
            testbed.ask("alice").sync_now(almanac_proto::v1::SyncNowRequest {}).await.unwrap();
            let told = unfetched(&receiver);
            (told.len() >= count).then_some(told)
        })
        .await
    };
    let (holds, reason, message) = told(1).await.remove(0);
    assert!(holds && reason == "NoSource" && message.contains("has no `weather`"), "{message}");

    let key_file = testbed.folder().join("weather.key");
    std::fs::write(&key_file, "canary-of-the-weather\n").unwrap();
    let config = |path: &str| {
        let (url, key) = (web.url(path), key_file.display());
        let weather = format!("  weather: {{ url: \"{url}\", apiKey: {{ fromFile: {key} }} }}\n");
        manifest::config("retention: 1d") + &weather
    };
    testbed.repository.write("config.yaml", config("/one"));
    testbed.push("somebody to be asked").await;
    let (holds, reason, message) = told(2).await.remove(1);
    assert!(holds && reason == "FetchFailed" && message.contains("answered 500"), "{message}");

    web.answers(Answer::Says(200, Vec::new(), "{\"weather\":[],\"main\":{\"temp\":7.5}}".to_owned()));
    let (holds, reason, _) = told(3).await.remove(2);
    assert!(!holds && reason == "Fetched");

    // Whoever asks no more is not left to wait for it to be mended.
    web.answers(Answer::Says(500, Vec::new(), "broken".to_owned()));
    testbed.repository.write("config.yaml", config("/two"));
    testbed.push("somewhere else").await;
    assert!(told(4).await.remove(3).0);
    testbed.repository.write("nodes/london-01.yaml", london(""));
    testbed.push("nobody asks").await;
    let all = told(5).await;
    assert_eq!((all[4].0, all[4].1.as_str()), (false, "NotWanted"));

    // Looking again is no news.
    for _ in 0..3 {
        testbed.ask("alice").sync_now(almanac_proto::v1::SyncNowRequest {}).await.unwrap();
    }
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    testbed.push("the last that is told").await;
    wait_for("the webhook to be told of the last", async || {
        let told = taken(&receiver, "hook");
        told.iter().any(|taken| taken.body["subject"] == "the last that is told").then_some(())
    })
    .await;
    assert_eq!(unfetched(&receiver), all);
    let everything: String = taken(&receiver, "").iter().map(|taken| taken.body.to_string()).collect();
    assert!(!everything.contains("canary"), "{everything}");
}

/// A database, and a task that tells what is in its outbox to webhooks.
struct Outbox {
    folder: tempfile::TempDir,
    store: Store,
    stop: CancellationToken,
}

impl Outbox {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite://{}", folder.path().join("almanac.db").display());
        Self { store: Store::open(&address).await.unwrap(), folder, stop: CancellationToken::new() }
    }

    async fn put(&self, target: &str, messages: impl IntoIterator<Item = String>) {
        let notice = |message| {
            let event = Event::Condition {
                condition: "Ready".to_owned(),
                status: false,
                reason: "Rejected".to_owned(),
                message,
                at: "2027-01-10T12:00:00Z".to_owned(),
            };
            Notice { target: target.to_owned(), body: serde_json::to_string(&event).unwrap() }
        };
        let notices: Vec<_> = messages.into_iter().map(notice).collect();
        self.store.put_look(&LookRow::default(), &[], &notices, None, clock::now()).await.unwrap();
    }

    fn deliver(&self, targets: &[(&str, &str)]) {
        let secret = self.folder.path().join("secret");
        std::fs::write(&secret, "word").unwrap();
        let target = |(name, url): &(&str, &str)| Target {
            name: (*name).to_owned(),
            kind: TargetKind::Webhook,
            url: Some((*url).to_owned()),
            repository: None,
            secret: SecretSource::File(secret.clone()),
            ca_file: None,
        };
        let targets = targets.iter().map(target).collect();
        let about = About { reconciler: "almanac", repository: "/srv/testbed.git", branch: "main" };
        let (_, leads) = watch::channel(Leadership::Alone);
        let deliver = Deliver::new(self.store.clone(), targets, about, leads, self.stop.clone()).unwrap();
        tokio::spawn(deliver.run());
    }
}

#[tokio::test]
async fn a_target_that_is_gone_holds_back_nobody_else() {
    let (gone, there) = (Receiver::start().await, Receiver::start().await);
    gone.0.lock().unwrap().down = true;
    there.0.lock().unwrap().fussy = true;
    let outbox = Outbox::new().await;
    // The commits of a day, for one that is gone and for one that was taken out of the configuration.
    outbox.put("gone", (0..250).map(|number| number.to_string())).await;
    outbox.put("unknown", (0..250).map(|number| number.to_string())).await;
    outbox.put("there", ["1".to_owned(), "2".to_owned()]).await;
    outbox.deliver(&[("gone", &gone.1), ("there", &there.1)]);
    wait_for("the one that is there to be told", async || {
        (there.0.lock().unwrap().taken.len() == 2).then_some(())
    })
    .await;
    // What was told is forgotten after it was, and what nobody can be told with it.
    wait_for("nothing to be left but for the one that is gone", async || {
        (outbox.store.notice_targets().await.unwrap() == ["gone"]).then_some(())
    })
    .await;
    outbox.stop.cancel();
}

#[tokio::test]
async fn a_notice_that_is_never_taken_is_given_up_for_those_behind_it() {
    let (receiver, address) = Receiver::start().await;
    receiver.lock().unwrap().fussy = true;
    let outbox = Outbox::new().await;
    outbox.put("chat", ["poison".to_owned(), "good".to_owned()]).await;
    outbox.deliver(&[("chat", &address)]);
    let first = wait_for("the first refusal", async || {
        outbox.store.first_notice("chat").await.unwrap().filter(|row| row.attempts == 1)
    })
    .await;
    assert!(first.error.contains("there is no such commit"), "{}", first.error);
    assert_eq!(taken(&receiver, "").len(), 0, "what came after waits, for now");
    // As if it had been refused for minutes.
    sqlx::query("UPDATE outbox SET attempts = 9, next_at = 0 WHERE attempts > 0")
        .execute(outbox.store.pool())
        .await
        .unwrap();
    let told = wait_for("what came after to be told", async || taken(&receiver, "").pop()).await;
    assert_eq!(told.body["message"], "good");
    outbox.stop.cancel();
}

#[tokio::test]
async fn a_delivery_has_a_number_that_no_other_had() {
    let bed = Bed::new();
    let store = Store::open(&bed.settings().database).await.unwrap();
    let notice = Notice { target: "hook".to_owned(), body: "{}".to_owned() };
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let notices = std::slice::from_ref(&notice);
        store.put_look(&LookRow::default(), &[], notices, None, clock::now()).await.unwrap();
        let row = store.first_notice("hook").await.unwrap().unwrap();
        numbers.push(row.id);
        store.delivered(row.id).await.unwrap();
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[tokio::test]
async fn what_could_not_be_told_is_told_after_a_crash() {
    let (receiver, address) = Receiver::start().await;
    receiver.lock().unwrap().down = true;
    let mut testbed = Testbed::prepare();
    let first = testbed.repository.push("users and nodes");
    serve(&mut testbed, &address).await;
    testbed.wait_applied(&first).await;
    wait_for("a failure", async || (receiver.lock().unwrap().asked > 0).then_some(())).await;
    testbed.take_daemon().kill();
    receiver.lock().unwrap().down = false;
    serve(&mut testbed, &address).await;
    let told = wait_for("everybody to be told", async || {
        let mut states: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for taken in taken(&receiver, "") {
            let target = taken.path.split('/').nth(1).unwrap().to_owned();
            states.entry(target).or_default().push(taken.body);
        }
        (states.len() == 4).then_some(states)
    })
    .await;
    // What was under way when it was killed may have arrived, and is told once more.
    for forge in ["github", "gitlab", "gitea"] {
        assert!(told[forge].iter().all(|state| *state == told[forge][0]), "{told:?}");
    }
}
