//! What becomes of runs that had to make room, in the transaction that records that they did.
//!
//! Of two reports about the parts of one run the second sees what the first one recorded, wherever they arrive: both hold
//! the row that a commit holds, too.

use std::collections::BTreeSet;

use almanac_schemas::{NodeName, RunId, RunRole};
use almanac_validate::Moved;
use chrono::{DateTime, Utc};

use super::{
    Change, Ground, Recorded, StoreError, lead, micros, reservations, rows::text, runs::steps_so_far,
    testbed::word,
};
use crate::{
    moves::{
        self, Decision, End,
        pairs::{self, Part},
    },
    run::{RunEvent, RunStep},
};

/// Runs that may have to be moved, in one transaction: what they are decided on does not change until it is over.
pub(super) struct Mover<'a> {
    ground: &'a Ground,
    held: Vec<Moved>,
}

impl<'a> Mover<'a> {
    /// Holds what is in force, as it is said to be.
    pub(super) async fn begin(change: &mut Change, ground: &'a Ground) -> Result<Self, StoreError> {
        lead::hold(change, None).await?;
        let (in_force,): (Option<i64>,) =
            sqlx::query_as("SELECT MAX(id) FROM syncs WHERE outcome = 'applied'")
                .fetch_one(&mut **change)
                .await?;
        if in_force != ground.applied.sync.as_ref().map(|sync| sync.id) {
            return Err(StoreError::Outrun);
        }
        Ok(Self { ground, held: reservations::held(change).await? })
    }

    /// Decides about a run of which a report was recorded just now, and records it as what it is: moved, or aborted since
    /// there is no room. Adds the parts whose records it changes to those that were `touched`.
    pub(super) async fn settle(
        &mut self,
        change: &mut Change,
        node: &NodeName,
        event: &RunEvent,
        touched: &mut BTreeSet<(RunId, RunRole)>,
    ) -> Result<Recorded, StoreError> {
        if !moves::concerns(&self.ground.applied, event) {
            return Ok(Recorded::New);
        }
        match event.role {
            RunRole::Client => self.settle_client(change, node, event, touched).await,
            RunRole::Server => self.settle_server(change, event, touched).await,
        }
    }

    async fn settle_client(
        &mut self,
        change: &mut Change,
        node: &NodeName,
        event: &RunEvent,
        touched: &mut BTreeSet<(RunId, RunRole)>,
    ) -> Result<Recorded, StoreError> {
        let server = part(change, event.run, RunRole::Server).await?;
        let server = server.filter(|server| moves::made_room(&server.end));
        let end = match (moves::made_room(&event.step), &server) {
            (true, _) => event.step.clone(),
            (false, Some(server)) => {
                let client = part(change, event.run, RunRole::Client).await?;
                match client.and_then(|client| pairs::bereft(&client, server)) {
                    Some(step) => step,
                    None => return Ok(Recorded::New),
                }
            }
            (false, None) => return Ok(Recorded::New),
        };
        let made = self.make_room(change, node, &RunEvent { step: end.clone(), ..event.clone() }).await?;
        let end = made.unwrap_or(end);
        if end == event.step {
            return Ok(Recorded::New);
        }
        if let Some(server) = server
            && follow(change, event.run, &server.end, &end).await?
        {
            touched.insert((event.run, RunRole::Server));
        }
        Ok(settled(&end))
    }

    async fn settle_server(
        &mut self,
        change: &mut Change,
        event: &RunEvent,
        touched: &mut BTreeSet<(RunId, RunRole)>,
    ) -> Result<Recorded, StoreError> {
        // How a client ends that goes on, its own report says.
        let Some(client) = part(change, event.run, RunRole::Client).await? else {
            return Ok(Recorded::New);
        };
        let Some(server) = part(change, event.run, RunRole::Server).await? else {
            return Ok(Recorded::New);
        };
        let end = match pairs::bereft(&client, &server) {
            Some(step) => {
                touched.insert((event.run, RunRole::Client));
                let of_client =
                    RunEvent { role: RunRole::Client, client: None, step: step.clone(), ..event.clone() };
                self.make_room(change, &client.node, &of_client).await?.unwrap_or(step)
            }
            None => client.end,
        };
        if follow(change, event.run, &server.end, &end).await? {
            return Ok(settled(&end));
        }
        Ok(Recorded::New)
    }

    /// Records that a run made room, given its client's end that says so, and what becomes of it. Answers that where it does
    /// not stay as it is said.
    async fn make_room(
        &mut self,
        change: &mut Change,
        node: &NodeName,
        event: &RunEvent,
    ) -> Result<Option<RunStep>, StoreError> {
        let Ground { applied, now } = self.ground;
        // Its time was given back when its client ended, which may have been long ago.
        let mut moved = self.held.clone();
        moved.extend(reservations::of_run(change, event.run).await?.filter(|run| !self.held.contains(run)));
        let decision = moves::decide(applied, &moved, node, event, *now);
        let step = decision.as_ref().map(|decision| decision.step(&event.step));
        put(change, event.run, RunRole::Client, step.as_ref().unwrap_or(&event.step)).await?;
        if let Some(Decision::Moves(moved)) = decision {
            reservations::reserve(change, &moved, event.run, *now).await?;
            put_moved(change, event.run, RunRole::Client, moved.to).await?;
            self.held.push(moved);
        }
        Ok(step)
    }
}

fn settled(end: &RunStep) -> Recorded {
    let RunStep { phase, reason, .. } = end;
    reason.map_or(Recorded::New, |reason| Recorded::Settled(End { phase: *phase, reason }))
}

/// Records the end of a server's part that made room as what became of the run. Whether it is another one by that.
async fn follow(
    change: &mut Change,
    run: RunId,
    server: &RunStep,
    client: &RunStep,
) -> Result<bool, StoreError> {
    let Some(step) = pairs::follow(server, client) else { return Ok(false) };
    put(change, run, RunRole::Server, &step).await?;
    sqlx::query(
        "UPDATE runs SET moved_to = (SELECT moved_to FROM runs WHERE id = $1 AND role = $2)
         WHERE id = $1 AND role = $3",
    )
    .bind(run.to_string())
    .bind(RunRole::Client.as_str())
    .bind(RunRole::Server.as_str())
    .execute(&mut **change)
    .await?;
    Ok(true)
}

/// A part of a run, if it has ended.
async fn part(change: &mut Change, run: RunId, role: RunRole) -> Result<Option<Part>, StoreError> {
    let node: Option<(String,)> = sqlx::query_as("SELECT node FROM runs WHERE id = $1 AND role = $2")
        .bind(run.to_string())
        .bind(role.as_str())
        .fetch_optional(&mut **change)
        .await?;
    let Some((node,)) = node else { return Ok(None) };
    Ok(Part::of(word("node", &node)?, &steps_so_far(change, run, role).await?))
}

/// Records a step as something else than what was reported.
async fn put(change: &mut Change, run: RunId, role: RunRole, step: &RunStep) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE run_events SET phase = $4, reason = $5, message = $6
         WHERE run_id = $1 AND role = $2 AND sequence = $3",
    )
    .bind(run.to_string())
    .bind(role.as_str())
    .bind(step.sequence.cast_signed())
    .bind(step.phase.as_str())
    .bind(step.reason.map(|reason| reason.as_str()))
    .bind(text(&step.message))
    .execute(&mut **change)
    .await?;
    Ok(())
}

async fn put_moved(
    change: &mut Change,
    run: RunId,
    role: RunRole,
    to: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE runs SET moved_to = $3 WHERE id = $1 AND role = $2")
        .bind(run.to_string())
        .bind(role.as_str())
        .bind(micros(to))
        .execute(&mut **change)
        .await?;
    Ok(())
}
