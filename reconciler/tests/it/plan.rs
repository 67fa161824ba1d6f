//! The plan: it leads from one testbed to another, and says so.

use std::{collections::BTreeSet, sync::Arc};

use almanac_reconciler::{
    applied::{Applied, Assigned},
    plan::Recorded,
};
use almanac_schemas::{JobName, Manifest, NodeName};
use almanac_validate::{
    NodeEntry, Testbed,
    plan::{Change, Edit, Plan},
};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::{collection::btree_map, prelude::*};

/// A testbed of `u*`, `n*` and `j*`, each with a variant, so that two of them share names and differ
/// in what is behind them.
fn testbed() -> impl Strategy<Value = Testbed> {
    let some = || btree_map(0_u8..6, 0_u8..3, 0..6);
    (some(), some(), some(), 0_u8..2).prop_map(|(users, nodes, jobs, config)| {
        let mut testbed = Testbed::empty();
        for (name, variant) in users {
            let spec = format!("{{ displayName: v{variant} }}");
            let Manifest::User(user) = manifest("User", &format!("u{name}"), &spec) else { unreachable!() };
            testbed.users.insert(user.metadata.name, user.spec);
        }
        for (name, variant) in nodes {
            let spec = format!("{{ owner: u0, coordinates: {{ latitude: 51.{variant}, longitude: -0.127{variant} }} }}");
            let name = format!("n{name}, labels: {{ kind: v{} }}", variant % 2);
            let Manifest::Node(node) = manifest("Node", &name, &spec) else { unreachable!() };
            testbed.nodes.insert(node.metadata.name, NodeEntry { labels: node.metadata.labels, spec: node.spec });
        }
        for (name, variant) in jobs {
            let place = match name % 3 {
                0 => format!("nodeSelector: {{ kind: v{} }}", name % 2),
                1 => format!("nodes: [n{variant}, n5]"),
                _ => format!("nodes: [n1], server: {{ node: n{}, container: {{ image: b }}, ready: {{ tcp: 1 }} }}", variant % 2),
            };
            let spec = format!(
                "{{ owner: u0, {place}, container: {{ image: a }}, schedule: {{ cron: \"{} * * * *\", end: 2030-01-01T00:00:00Z, length: 1m }} }}",
                variant / 2
            );
            let Manifest::Job(job) = manifest("Job", &format!("j{name}"), &spec) else { unreachable!() };
            testbed.jobs.insert(job.metadata.name, job.spec);
        }
        Arc::make_mut(&mut testbed.config).network.docker = format!("network{config}");
        testbed
    })
}

fn manifest(kind: &str, name: &str, spec: &str) -> Manifest {
    let text = format!("apiVersion: almanac/v1\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec: {spec}\n");
    let value = serde_yaml::from_str(&text).unwrap();
    Manifest::from_value(value).unwrap()
}

/// What a plan makes of a testbed.
fn follow(from: &Testbed, plan: &Plan<'_>) -> Testbed {
    fn step<N: Ord + Clone, T: std::borrow::Borrow<S>, S: Clone + Into<T> + PartialEq + std::fmt::Debug>(
        map: &mut std::collections::BTreeMap<N, T>,
        change: &Change<'_, N, S>,
    ) {
        let before = match change.edit {
            Edit::Added(after) | Edit::Changed(_, after) => {
                map.insert(change.name.clone(), after.clone().into())
            }
            Edit::Removed(_) => map.remove(change.name),
        };
        assert_eq!(before.as_ref().map(T::borrow), change.edit.before(), "a plan knows what was before");
    }
    let mut testbed = from.clone();
    plan.users.iter().for_each(|change| step(&mut testbed.users, change));
    plan.nodes.iter().for_each(|change| step(&mut testbed.nodes, change));
    plan.jobs.iter().for_each(|change| step(&mut testbed.jobs, change));
    if let Some((_, config)) = plan.config {
        testbed.config = Arc::new(config.clone());
    }
    testbed
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

proptest! {
    #[test]
    fn nothing_changes(a in testbed()) {
        let plan = Plan::between(&a, &a);
        prop_assert!(plan.is_empty());
        prop_assert_eq!(plan.to_string(), "nothing changes\n");
        let b = Arc::new(a.clone());
        let applied = Applied::nothing("epoch".into());
        let first = applied.next(&b, &Plan::between(&Testbed::empty(), &b), "1", at(0)).applied;
        let second = first.next(&b, &Plan::between(&a, &b), "2", at(1));
        prop_assert!(second.touched.is_empty() && second.put.is_empty() && second.gone.is_empty());
        prop_assert_eq!(second.applied.origins, first.origins);
    }

    #[test]
    fn a_plan_leads_from_one_testbed_to_the_other(a in testbed(), b in testbed()) {
        let plan = Plan::between(&a, &b);
        prop_assert_eq!(follow(&a, &plan), b.clone());
        prop_assert_eq!(plan.is_empty(), a == b);
        let counts = plan.counts();
        prop_assert_eq!((counts.added + counts.changed + counts.removed) as usize, Recorded::all(&plan).len());
    }

    /// A node gets a new generation exactly when what it is told differs.
    #[test]
    fn a_node_is_touched_exactly_when_its_desired_state_differs(a in testbed(), b in testbed()) {
        let (a, b) = (Arc::new(a), Arc::new(b));
        let nothing = Applied::nothing("epoch".into());
        let before = nothing.next(&a, &Plan::between(&Testbed::empty(), &a), "1", at(0)).applied;
        let plan = Plan::between(&a, &b);
        let next = before.next(&b, &plan, "2", at(1));
        for node in a.nodes.keys().chain(b.nodes.keys()) {
            let told = |applied: &Applied| {
                almanac_reconciler::desired::snapshot(applied, node, at(2)).map(|mut snapshot| {
                    snapshot.generation = 0;
                    snapshot
                })
            };
            prop_assert_eq!(next.touched.contains(node), told(&before) != told(&next.applied), "{}", node);
            let grown = next.applied.generation(node) - before.generation(node);
            prop_assert_eq!(grown, u64::from(next.touched.contains(node)));
        }
        // What is brought forward is what would be made anew.
        let anew = nothing.next(&b, &Plan::between(&Testbed::empty(), &b), "2", at(1)).applied;
        prop_assert_eq!(&next.applied.placements, &anew.placements);
        let parts = |applied: &Applied| -> Vec<_> {
            let parts = applied.assignments.iter();
            parts.flat_map(|(node, parts)| parts.iter().map(|part| (node.clone(), part.job.clone(), part.role))).collect()
        };
        prop_assert_eq!(parts(&next.applied), parts(&anew));
        // So the rows that are written lead from the ones to the others.
        let rows = |applied: &Applied| -> BTreeSet<_> {
            let parts = applied.assignments.iter();
            parts.flat_map(|(node, parts)| parts.iter().map(|part| (node.clone(), part.clone()))).collect()
        };
        let mut written = rows(&before);
        let is = |row: &(NodeName, Assigned), node: &NodeName, job: &JobName, role| {
            (&row.0, &row.1.job, row.1.role) == (node, job, role)
        };
        for (node, job, role) in &next.gone {
            written.retain(|row| !is(row, node, job, *role));
        }
        for (node, part) in &next.put {
            written.retain(|row| !is(row, node, &part.job, part.role));
            written.insert((node.clone(), part.clone()));
        }
        prop_assert_eq!(written, rows(&next.applied));
        for (node, parts) in &next.applied.assignments {
            for part in parts {
                let same = |testbed: &Testbed| testbed.jobs.get(&part.job).map(|job| job.schedule.clone());
                let had = before.assignments.get(node).is_some_and(|parts| {
                    parts.iter().any(|old| (&old.job, old.role) == (&part.job, part.role))
                });
                let kept = had && same(&a) == same(&b);
                prop_assert_eq!(part.since, if kept { at(0) } else { at(1) } + TimeDelta::zero());
            }
        }
    }
}
