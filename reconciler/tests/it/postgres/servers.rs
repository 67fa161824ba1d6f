//! A pair whose client is connected to one reconciler and whose server to another.

use almanac_proto::v1::{TaskNews, TaskState};

use crate::{
    harness::{Replica, Testbed},
    servers::{Pair, standing, told},
};

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_pair_at_two_reconcilers_outlives_either() {
    let testbed = Testbed::prepare_on_postgres();
    let pair = Pair::declare(&testbed, "60s");
    let commit = testbed.repository.push("a pair");
    let one = Replica::start(&testbed, "one").await;
    one.serves(&commit).await;
    let two = Replica::start(&testbed, "two").await;
    two.serves(&commit).await;
    let (mut paris, _) = two.watch("paris-01").await;
    let mut client = pair.want(one.agent("london-01")).await;
    assert_eq!(standing(&mut client).await.0, TaskState::Requested);
    assert_eq!(told(&mut paris).await, [TaskState::Requested]);
    pair.say(two.agent("paris-01"), "paris-01", TaskNews::Ready, "").await.unwrap();
    assert_eq!(standing(&mut client).await.0, TaskState::Ready);
    one.into_daemon().kill();
    assert!(client.message().await.is_err());
    let mut client = pair.want(two.agent("london-01")).await;
    assert_eq!(standing(&mut client).await.0, TaskState::Ready);
    pair.say(two.agent("london-01"), "london-01", TaskNews::Released, "").await.unwrap();
    while told(&mut paris).await != [TaskState::Released] {}
}
