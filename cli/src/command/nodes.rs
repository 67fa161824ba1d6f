//! `almanac nodes`.

use almanac_proto::{
    convert::{self, FieldError},
    v1,
};
use almanac_schemas::{Duration, Kind, NodeName};

use crate::{
    args::{NodeWish, Nodes, Switch},
    call::{CallError, Caller, request},
    failure::Failure,
    output::Output,
    pages,
    view::Node,
};

pub(super) async fn run(command: Nodes, caller: &Caller, output: &mut Output<'_>) -> Result<(), Failure> {
    let explain = |status| caller.explain(&status);
    match command {
        Nodes::List { limit } => {
            let listing = pages::collect(limit, async |page_size, page_token| {
                let question = v1::ListNodesRequest { page_size, page_token };
                let answer = caller.client().list_nodes(request(question)).await?.into_inner();
                Ok((answer.nodes, answer.next_page_token))
            });
            let listing = listing.await.map_err(explain)?;
            output.list(&listing.try_map(Node::try_from).map_err(CallError::from)?)?;
        }
        Nodes::Show { name } => {
            let question = v1::GetNodeRequest { name: name.to_string() };
            let answer = caller.client().get_node(request(question)).await.map_err(explain)?.into_inner();
            show(answer.node, output)?;
        }
        Nodes::Cordon { name, wish } => {
            set_mode(&name, v1::NodeMode::Cordoned, Some(wish), None, caller, output).await?;
        }
        Nodes::Drain { name, deadline, wish } => {
            set_mode(&name, v1::NodeMode::Draining, Some(wish), Some(deadline), caller, output).await?;
        }
        Nodes::Uncordon { name } => {
            set_mode(&name, v1::NodeMode::Active, None, None, caller, output).await?;
        }
        Nodes::Telemetry { name, follow } => {
            super::telemetry::run(&name, follow, caller, output).await?;
        }
        Nodes::Scavenge { name, switch, reason, length } => {
            let after = |length: Duration| convert::timestamp(output.look.now + length.to_delta());
            let question = v1::SetScavengerRequest {
                name: name.to_string(),
                on: switch == Switch::On,
                reason,
                until: length.map(after),
            };
            let answer = caller.client().set_scavenger(request(question)).await;
            show(answer.map_err(explain)?.into_inner().node, output)?;
        }
        Nodes::History { name, limit } => {
            super::history::list(Kind::Node, name.as_str(), limit, caller, output).await?;
        }
    }
    Ok(())
}

/// Says whether new runs start on a node, and shows how it is then.
async fn set_mode(
    name: &NodeName,
    mode: v1::NodeMode,
    wish: Option<NodeWish>,
    deadline: Option<Duration>,
    caller: &Caller,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let after = |length: Duration| convert::timestamp(output.look.now + length.to_delta());
    let question = v1::SetNodeModeRequest {
        name: name.to_string(),
        mode: mode.into(),
        until: wish.as_ref().and_then(|wish| wish.length).map(after),
        stop_at: deadline.map(after),
        reason: wish.map(|wish| wish.reason).unwrap_or_default(),
    };
    let answer = caller.client().set_node_mode(request(question)).await;
    show(answer.map_err(|status| caller.explain(&status))?.into_inner().node, output)
}

fn show(node: Option<v1::Node>, output: &mut Output<'_>) -> Result<(), Failure> {
    let node = node.ok_or_else(|| FieldError::missing("node")).and_then(Node::try_from);
    Ok(output.one(&node.map_err(CallError::from)?)?)
}
