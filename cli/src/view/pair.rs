//! A run with two sides, as text: what both share, how each went, and what happened on either in one order.

use almanac_schemas::{Reason, RunRole};

use crate::{
    output::Look,
    table::{Cell, Column, Fit, Style, details, table},
    view,
};

use super::{
    detail::{Side, Step},
    run::{self, Run},
};

const SIDES: &[Column] = &[
    Column { title: "", fit: Fit::Keep },
    Column { title: "CLIENT", fit: Fit::Wrap },
    Column { title: "SERVER", fit: Fit::Wrap },
];

/// What is known of a pair: once what its sides share, and then one beside the other.
pub(super) fn facts(client: &Side, server: &Side, look: Look) -> String {
    let Look { now, style } = look;
    let Run { id, job, owner, scheduled_at, .. } = &client.run;
    let commit = |side: &Side| view::dash(side.run.commit.as_deref()).to_owned();
    let mut shared = vec![
        ("run", id.to_string().into()),
        ("job", job.as_str().into()),
        ("owner", view::dash(owner.as_deref()).into()),
        ("scheduled", view::both(Some(*scheduled_at), now).into()),
    ];
    // They are too long to stand beside each other, and mostly to be copied.
    shared.extend(once(["image", "client image", "server image"], [client.image(), server.image()]));
    shared.extend(once(["commit", "client commit", "server commit"], [commit(client), commit(server)]));
    shared.push(("kept", client.run.kept(now).into()));
    let row = |label: &str, cell: &dyn Fn(&Side) -> Cell| vec![label.into(), cell(client), cell(server)];
    let at = |instant: Option<_>| instant.map_or_else(|| "-".to_owned(), view::to_the_second);
    let rows = vec![
        row("node", &|side| side.run.node.as_str().into()),
        row("phase", &|side| run::phase(side.run.phase)),
        row("reason", &|side| view::dash(side.run.reason.map(Reason::as_str)).into()),
        row("message", &|side| view::dash(side.run.message.as_deref()).into()),
        row("started", &|side| at(side.run.started_at).into()),
        row("start delay", &|side| side.delay().into()),
        row("ended", &|side| at(side.run.ended_at).into()),
        row("took", &|side| side.run.took(now).into()),
        row("exit code", &|side| side.run.exit().into()),
    ];
    format!("{}\n{}", details(shared, style), table(SIDES, rows, style))
}

/// What is the same on both sides once, or what each has.
fn once(
    [both, of_client, of_server]: [&'static str; 3],
    [client, server]: [String; 2],
) -> Vec<(&'static str, Cell)> {
    if client == server {
        vec![(both, client.into())]
    } else {
        vec![(of_client, client.into()), (of_server, server.into())]
    }
}

/// The messages are what explains the end of a pair, so that none is cut.
const STEPS: &[Column] = &[
    Column { title: "AT (UTC)", fit: Fit::Keep },
    Column { title: "ROLE", fit: Fit::Keep },
    Column { title: "PHASE", fit: Fit::Keep },
    Column { title: "REASON", fit: Fit::Keep },
    Column { title: "MESSAGE", fit: Fit::Wrap },
];

/// What happened on both sides, as a table.
pub(super) fn steps(client: &Side, server: &Side, style: Style) -> String {
    let steps = merged(&client.steps, &server.steps);
    if steps.is_empty() {
        return String::new();
    }
    // The day stands above; the room is for the messages.
    let day = client.run.scheduled_at.0.date_naive();
    let one_day = steps.iter().all(|(_, step)| step.at.0.date_naive() == day);
    let cells = |(role, step): (RunRole, &Step)| {
        let [at, phase, reason, message] = step.cells();
        let at = if one_day { step.at.0.format("%H:%M:%S%.3f").to_string().into() } else { at };
        vec![at, role.as_str().into(), phase, reason, message]
    };
    table(STEPS, steps.into_iter().map(cells).collect(), style)
}

/// The steps of both sides by their instants, as far as they are known: each has them by the clock of its own node, and those of
/// one side stay in its order. At one instant a server comes first, which its client waits for.
fn merged<'a>(mut client: &'a [Step], mut server: &'a [Step]) -> Vec<(RunRole, &'a Step)> {
    let mut steps = Vec::with_capacity(client.len() + server.len());
    loop {
        let client_is_next = match (client, server) {
            ([], []) => return steps,
            ([step, ..], [other, ..]) => step.at < other.at,
            (_, []) => true,
            ([], _) => false,
        };
        let (role, of) =
            if client_is_next { (RunRole::Client, &mut client) } else { (RunRole::Server, &mut server) };
        if let Some((step, rest)) = of.split_first() {
            steps.push((role, step));
            *of = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use almanac_proto::{convert, v1};
    use almanac_schemas::{Instant, Phase};
    use unicode_width::UnicodeWidthStr;

    use super::*;

    fn steps(minutes: &[u32]) -> Vec<Step> {
        let step = |(sequence, minute): (u64, &u32)| Step {
            sequence,
            phase: Phase::Running,
            reason: None,
            message: None,
            at: format!("2027-01-10T11:{minute:02}:00Z").parse().unwrap(),
        };
        (1..).zip(minutes).map(step).collect()
    }

    /// Of the steps at these minutes, which comes when: `c1 s1 c2`.
    fn order(client: &[u32], server: &[u32]) -> String {
        let (client, server) = (steps(client), steps(server));
        let merged = merged(&client, &server);
        let word = |(role, step): &(RunRole, &Step)| format!("{}{}", &role.as_str()[..1], step.sequence);
        merged.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn steps_of_both_sides_come_in_the_order_of_their_instants() {
        assert_eq!(order(&[1, 4], &[2, 3, 5]), "c1 s1 s2 c2 s3");
        assert_eq!(order(&[], &[1, 2]), "s1 s2");
        assert_eq!(order(&[1, 2], &[]), "c1 c2");
        assert_eq!(order(&[], &[]), "");
    }

    #[test]
    fn at_one_instant_the_server_comes_first() {
        assert_eq!(order(&[1, 2], &[1, 2]), "s1 c1 s2 c2");
    }

    #[test]
    fn a_clock_that_was_set_back_turns_no_side_round() {
        assert_eq!(order(&[5, 1], &[2, 3]), "s1 s2 c1 c2");
    }

    /// A side with a step at each of these instants, of which the last says something.
    fn side(role: v1::Role, instants: &[&str], message: &str) -> Side {
        let at = |text: &str| Some(convert::timestamp(text.parse::<Instant>().unwrap().0));
        let steps = (1..).zip(instants).map(|(sequence, instant)| v1::RunStep {
            sequence,
            phase: v1::Phase::Running.into(),
            message: if sequence == instants.len() as u64 { message.to_owned() } else { String::new() },
            at: at(instant),
            ..v1::RunStep::default()
        });
        let run = v1::Run {
            id: "8d863d4f-9fe6-5c16-837c-10e6c0fa0321".to_owned(),
            role: role.into(),
            phase: v1::Phase::Running.into(),
            message: message.to_owned(),
            scheduled_at: at("2027-01-10T23:59:00Z"),
            steps: steps.collect(),
            ..v1::Run::default()
        };
        run.try_into().unwrap()
    }

    fn shown(client: &[&str], server: &[&str], message: &str) -> String {
        let (client, server) =
            (side(v1::Role::Client, client, message), side(v1::Role::Server, server, message));
        let style = Style { width: Some(100), colour: false };
        let now = client.run.scheduled_at.0;
        format!("{}{}", facts(&client, &server, Look { now, style }), super::steps(&client, &server, style))
    }

    #[test]
    fn a_day_is_said_where_there_are_several() {
        let (before, after) = ("2027-01-10T23:59:01Z", "2027-01-11T00:00:01Z");
        let one = shown(&[before], &[before], "");
        assert!(one.contains("\n23:59:01.000  server"), "{one}");
        let two = shown(&[before], &[before, after], "");
        assert!(two.contains("\n2027-01-10 23:59:01.000  client"), "{two}");
        assert!(two.contains("\n2027-01-11 00:00:01.000  server"), "{two}");
    }

    #[test]
    fn no_message_makes_a_line_too_long() {
        let instants = ["2027-01-10T23:59:01Z", "2027-01-11T00:00:01Z"];
        for message in ["a word ".repeat(60), "x".repeat(400), "\u{1b}[31m\n".repeat(20)] {
            let text = shown(&instants, &instants, &message);
            assert!(text.lines().all(|line| line.width() <= 100), "{text}");
            assert!(!text.contains('…'), "{text}");
        }
    }

    #[test]
    fn a_side_without_steps_has_facts() {
        let text = shown(&["2027-01-10T23:59:01Z"], &[], "");
        assert!(text.contains("23:59:01.000  client"), "{text}");
        let none = shown(&[], &[], "");
        assert!(none.contains("CLIENT") && !none.contains("AT (UTC)"), "{none}");
    }
}
