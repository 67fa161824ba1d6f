//! Orbits: what is fetched and read, and what does not take its place.

use std::fs;

use super::{ISS, LONDON, Node, configure, says, testbed, unfetched, unpacked};
use crate::harness::{Answer, Web};

#[tokio::test]
async fn orbits_are_fetched_when_they_changed_and_replaced_when_they_are_sound() {
    let web = Web::start(Answer::Tagged("\"1\"", ISS.to_owned())).await;
    let both = format!("{LONDON}  telemetry: {{ satellites: {{}} }}\n");
    let mut testbed = testbed(&both, "", None, Some(&web.url("/tle?GROUP=starlink"))).await;
    let mut node = Node::watch(&testbed, "london-01").await;
    let orbits = node.orbits(|orbits| !orbits.tle_zstd.is_empty()).await;
    assert_eq!((unpacked(&orbits).as_str(), orbits.problem.as_str()), (ISS, ""));
    assert_eq!(web.asked()[0].query, "GROUP=starlink");
    assert!(web.asked()[0].headers.get("if-none-match").is_none());

    // What is no orbit does not take the place of orbits, and they are not sent again for that.
    for (number, (answer, expected)) in (1..).zip([
        (says(200, "No GP data found"), "no element set"),
        (says(200, &ISS[..ISS.len() - 9]), "line 3 has"),
        (says(200, &ISS.replace("51.6416", "51.6417")), "the checksum of line 3"),
        (Answer::Says(403, vec![("retry-after", "7200".to_owned())], String::new()), "403"),
        (Answer::Closes, "the request failed"),
    ]) {
        web.answers(answer);
        configure(&testbed, None, Some(&web.url(&format!("/{number}"))));
        testbed.push(expected).await;
        testbed
            .wait_for(expected, async || {
                let (holds, _, message) = unfetched(&testbed, Some("london-01")).await?;
                (holds && message.contains(expected)).then_some(())
            })
            .await;
    }
    testbed.crash_and_serve().await;
    let commit = testbed.repository.push("after the restart");
    testbed.wait_applied(&commit).await;
    let mut node = Node::watch(&testbed, "london-01").await;
    assert_eq!(node.orbits(|_| true).await, orbits, "what was fetched once stays");

    let asked = web.asked().len();
    web.answers(Answer::Tagged("\"2\"", ISS.repeat(2)));
    configure(&testbed, None, Some(&web.url("/new")));
    testbed.push("a new address").await;
    let newer = node.orbits(|newer| newer.fetched_at != orbits.fetched_at).await;
    assert_eq!(unpacked(&newer), ISS.repeat(2));
    assert_eq!((web.asked().len(), node.orbits.len()), (asked + 1, 2));
    assert!(
        web.asked().iter().all(|asked| !asked.headers.contains_key("if-none-match")),
        "each address was new"
    );
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("starlink.tle");
    fs::write(&path, ISS).unwrap();
    let both = format!("{LONDON}  telemetry: {{ satellites: {{}} }}\n");
    let testbed = testbed(&both, "", None, Some(path.to_str().unwrap())).await;
    let mut node = Node::watch(&testbed, "london-01").await;
    assert_eq!(unpacked(&node.orbits(|orbits| !orbits.tle_zstd.is_empty()).await), ISS);
    testbed.push("it is looked at, and is the same").await;
    fs::write(&path, "cut").unwrap();
    testbed.push("it is looked at").await;
    testbed
        .wait_for("the file to be refused", async || {
            unfetched(&testbed, Some("london-01")).await?.2.contains("no element set").then_some(())
        })
        .await;
    fs::write(&path, ISS.repeat(3)).unwrap();
    testbed.push("it is looked at again").await;
    let newer = node.orbits(|orbits| !orbits.tle_zstd.is_empty() && unpacked(orbits) != ISS).await;
    assert_eq!(unpacked(&newer), ISS.repeat(3));
    assert_eq!(node.orbits.len(), 2, "only what changed is passed on");
}
