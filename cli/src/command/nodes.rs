//! `almanac nodes`.

use almanac_proto::{convert::FieldError, v1};
use almanac_schemas::Kind;

use crate::{
    args::Nodes,
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
            let node = answer.node.ok_or_else(|| FieldError::missing("node")).and_then(Node::try_from);
            output.one(&node.map_err(CallError::from)?)?;
        }
        Nodes::History { name, limit } => {
            super::history::list(Kind::Node, name.as_str(), limit, caller, output).await?;
        }
    }
    Ok(())
}
