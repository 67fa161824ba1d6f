//! Two reconcilers on one database, while nothing fails.

use std::time::Instant;

use almanac_proto::v1::{self, Phase, SyncOutcome};

use crate::harness::{Replica, Testbed, beat, event, instant, manifest, next, run_id, wait_for, whole_run};

/// A leader, and one that stands by and serves the same.
async fn pair(testbed: &Testbed) -> (Replica<'_>, Replica<'_>) {
    testbed.write_job("ping", "bob", "london-01", manifest::HOURLY);
    let commit = testbed.repository.push("users, nodes and a job");
    let leader = Replica::start(testbed, "one").await;
    leader.serves(&commit).await;
    let standby = Replica::start(testbed, "two").await;
    standby.serves(&commit).await;
    assert_eq!(leader.leads().await, 1);
    standby.stands_by().await;
    (leader, standby)
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn of_several_that_start_at_once_exactly_one_leads() {
    let testbed = Testbed::prepare_on_postgres();
    let commit = testbed.repository.push("users and nodes");
    let (one, two, three) = tokio::join!(
        Replica::start(&testbed, "one"),
        Replica::start(&testbed, "two"),
        Replica::start(&testbed, "three")
    );
    let replicas = [one, two, three];
    let mut leaders = 0;
    for replica in &replicas {
        replica.serves(&commit).await;
        leaders += usize::from(replica.term().await.is_some());
    }
    assert_eq!(leaders, 1);
    assert_eq!(replicas[0].syncs().await, [("users and nodes".to_owned(), SyncOutcome::Applied)]);
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_push_is_applied_once_and_reaches_the_agents_of_both() {
    let testbed = Testbed::prepare_on_postgres();
    let (leader, standby) = pair(&testbed).await;
    let (mut at_leader, before) = leader.watch("london-01").await;
    let (mut at_standby, same) = standby.watch("london-01").await;
    assert_eq!((&before.epoch, before.generation), (&same.epoch, same.generation));

    for round in 0..3 {
        testbed.write_job(&format!("job-{round}"), "bob", "london-01", manifest::HOURLY);
        let commit = testbed.repository.push(&format!("push {round}"));
        let pushed = Instant::now();
        let (one, other) = tokio::join!(next(&mut at_leader), next(&mut at_standby));
        // Intervals are an hour, so that only a notification can have brought it.
        println!("a push reached the agents of both after {:?}", pushed.elapsed());
        assert_eq!((&one.commit, &other.commit), (&commit, &commit));
        assert_eq!((one.generation, other.generation), (before.generation + round + 1, one.generation));
        assert_eq!(one.assignments, other.assignments);
    }
    let subjects: Vec<_> = leader.syncs().await.into_iter().map(|(subject, _)| subject).collect();
    assert_eq!(subjects, ["push 2", "push 1", "push 0", "users, nodes and a job"]);
    assert_eq!(standby.syncs().await, leader.syncs().await);

    let list = async |replica: &Replica<'_>| {
        let mut bob = replica.ask("bob");
        let jobs = bob.list_jobs(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs;
        let nodes = bob.list_nodes(v1::ListNodesRequest::default()).await.unwrap().into_inner().nodes;
        let names = nodes.into_iter().map(|node| (node.name, node.generation)).collect::<Vec<_>>();
        (jobs.into_iter().map(|job| (job.name, job.commit)).collect::<Vec<_>>(), names)
    };
    assert_eq!(list(&leader).await, list(&standby).await);
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn what_admins_ask_of_a_standby_is_done() {
    let testbed = Testbed::prepare_on_postgres();
    let (leader, standby) = pair(&testbed).await;
    let mut alice = standby.ask("alice");
    let first = leader.status().await.unwrap().applied_commit;

    testbed.write_job("dns", "bob", "london-01", manifest::HOURLY);
    let second = testbed.repository.push("dns");
    let asked = Instant::now();
    let sync = alice.sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap();
    println!("a standby answered `sync now` after {:?}", asked.elapsed());
    assert_eq!((sync.commit.as_str(), sync.outcome()), (second.as_str(), SyncOutcome::Applied), "{sync:?}");
    standby.serves(&second).await;

    let pin =
        v1::PinSyncRequest { commit: first[..10].to_owned(), reason: "to compare".to_owned(), until: None };
    let pinned = alice.pin_sync(pin).await.unwrap().into_inner();
    assert_eq!(pinned.sync.unwrap().commit, first);
    leader.serves(&first).await;
    let unpinned = alice.unpin_sync(v1::UnpinSyncRequest {}).await.unwrap().into_inner();
    assert_eq!(unpinned.sync.unwrap().commit, second);

    let suspend = v1::SuspendSyncRequest { reason: "the dish is being moved".to_owned(), until: None };
    alice.suspend_sync(suspend).await.unwrap();
    let sync = alice.sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap();
    assert_eq!(sync.outcome(), SyncOutcome::Suspended, "{sync:?}");
    assert!(leader.status().await.unwrap().suspended.is_some());
    let resumed = alice.resume_sync(v1::ResumeSyncRequest {}).await.unwrap().into_inner();
    assert_eq!(resumed.sync.unwrap().commit, second);

    for entry in ["users", "nodes", "jobs"] {
        std::fs::remove_dir_all(testbed.repository.clone_path().join(entry)).unwrap();
    }
    testbed.repository.push("nothing is left");
    let sync = alice.sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap();
    assert_eq!(sync.outcome(), SyncOutcome::Waiting, "{sync:?}");
    // The last thing that alice does: nobody is declared any more.
    let approved = alice.approve_sync(v1::ApproveSyncRequest::default()).await.unwrap().into_inner();
    assert_eq!(approved.sync.unwrap().outcome(), SyncOutcome::Applied);
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn what_people_say_to_one_reaches_a_node_at_the_other() {
    let testbed = Testbed::prepare_on_postgres();
    let (leader, standby) = pair(&testbed).await;
    for (from, to, reason) in [(&leader, &standby, "one"), (&standby, &leader, "two")] {
        let (mut stream, _) = to.watch("london-01").await;
        let request = v1::SetNodeModeRequest {
            name: "london-01".to_owned(),
            mode: v1::NodeMode::Cordoned.into(),
            reason: reason.to_owned(),
            ..Default::default()
        };
        from.ask("alice").set_node_mode(request).await.unwrap();
        wait_for("the node to hear of it", async || {
            let told = stream.message().await.unwrap().unwrap().instructions?;
            (told.cordon?.reason == reason).then_some(())
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_run_that_is_reported_to_both_at_once_moves_once() {
    let testbed = Testbed::prepare_on_postgres();
    for hour in 10..18 {
        let schedule = format!("{{ at: 2030-01-01T{hour}:30:00Z, length: 10m }}");
        let job = manifest::job(&format!("once-{hour}"), "bob", "london-01", &schedule);
        let job = job.replace("exclusive: false", "exclusive: true");
        testbed.repository.write(&format!("jobs/once-{hour}.yaml"), job);
    }
    let (leader, standby) = pair(&testbed).await;
    let mut moved = std::collections::BTreeSet::new();
    for hour in 10..18 {
        let (job, at) = (format!("once-{hour}"), instant(&format!("2030-01-01T{hour}:30:00Z")));
        let report = v1::RunEvent {
            reason: v1::Reason::Scavenger.into(),
            ..event(&job, "london-01", at, 1, Phase::Aborted)
        };
        let request = || v1::ReportRunsRequest { node: "london-01".to_owned(), events: vec![report.clone()] };
        let (mut one, mut two) = (leader.agent("london-01"), standby.agent("london-01"));
        let (one, two) = tokio::join!(one.report_runs(request()), two.report_runs(request()));
        assert_eq!((one.unwrap().into_inner().accepted, two.unwrap().into_inner().accepted), (1, 1));
        let id = run_id(&job, "london-01", at);
        let shown = |run: v1::GetRunResponse| (run.run.as_ref().unwrap().moved_to, run.steps.len());
        let ask = v1::GetRunRequest { id };
        let one = shown(leader.ask("alice").get_run(ask.clone()).await.unwrap().into_inner());
        let two = shown(standby.ask("alice").get_run(ask).await.unwrap().into_inner());
        assert_eq!((one, one.1), (two, 1));
        moved.insert(one.0.unwrap().seconds);
    }
    // Each has a time of its own, and both tell the node.
    assert_eq!(moved.len(), 8);
    let apart = moved.iter().zip(moved.iter().skip(1)).map(|(one, next)| next - one);
    assert!(apart.into_iter().all(|seconds| seconds >= 600), "{moved:?}");
    for replica in [&leader, &standby] {
        wait_for("all of them to be known", async || {
            let request = v1::WatchDesiredStateRequest { node: "london-01".to_owned(), ..Default::default() };
            let mut stream =
                replica.agent("london-01").watch_desired_state(request).await.unwrap().into_inner();
            let told = stream.message().await.unwrap()?.instructions?;
            (told.moves.len() == 8).then_some(())
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn what_nodes_say_to_one_is_known_to_the_other() {
    let testbed = Testbed::prepare_on_postgres();
    let (leader, standby) = pair(&testbed).await;
    let said = |version: &str| v1::HeartbeatRequest {
        node: "london-01".to_owned(),
        agent_version: Some(version.to_owned()),
        boot_id: Some("a NUL \0 is no reason to fail".to_owned()),
        ..Default::default()
    };
    for (from, to, version) in [(&leader, &standby, "1"), (&standby, &leader, "2")] {
        beat(&mut from.agent("london-01"), said(version)).await.unwrap();
        wait_for("the other one to know of a heartbeat", async || {
            let request = v1::GetNodeRequest { name: "london-01".to_owned() };
            let node = to.ask("bob").get_node(request).await.unwrap().into_inner().node.unwrap();
            (node.agent_version == version).then_some(())
        })
        .await;
    }

    // The same reports to both, as by an agent that changes between them.
    let at = instant("2030-01-01T00:00:00Z");
    let report = async |replica: &Replica<'_>| {
        let events = whole_run("ping", "london-01", at);
        let request = v1::ReportRunsRequest { node: "london-01".to_owned(), events };
        replica.agent("london-01").report_runs(request).await.unwrap().into_inner().accepted
    };
    let accepted = tokio::join!(report(&leader), report(&standby), report(&leader), report(&standby));
    assert_eq!(accepted, (4, 4, 4, 4), "what was reported before is accepted again");
    for replica in [&leader, &standby] {
        let request = v1::GetRunRequest { id: run_id("ping", "london-01", at) };
        let run = replica.ask("bob").get_run(request).await.unwrap().into_inner();
        assert_eq!((run.run.unwrap().phase(), run.steps.len()), (Phase::Completed, 4));
    }
}

/// A leader hears what it says itself. That it looked in vain is no reason to rest for an interval.
#[tokio::test]
#[ignore = "needs postgres"]
async fn a_leader_that_looked_in_vain_looks_again_soon() {
    let testbed = Testbed::prepare_on_postgres();
    let (leader, _standby) = pair(&testbed).await;
    // Nothing watches the objects, so that only another look can find that they are back.
    let objects = testbed.repository.path().join("objects");
    let away = testbed.folder().join("away");
    let head = leader.status().await.unwrap().applied_commit;
    let (folder, file) = head.split_at(2);
    let object = objects.join(folder).join(file);
    std::fs::rename(&object, &away).unwrap();
    let answer =
        leader.ask("alice").sync_now(v1::SyncNowRequest {}).await.unwrap().into_inner().sync.unwrap();
    assert!(answer.message.contains("cannot read commit"), "{answer:?}");
    let failed = wait_for("the failure to be known", async || {
        leader.status().await.filter(|status| !status.look_error.is_empty())
    })
    .await;
    std::fs::rename(&away, &object).unwrap();
    wait_for("another look", async || {
        let status = leader.status().await?;
        (status.look_error.is_empty() && status.last_look != failed.last_look).then_some(())
    })
    .await;
}
