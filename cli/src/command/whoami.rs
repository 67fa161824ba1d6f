//! `almanac whoami`.

use almanac_proto::v1;

use crate::{
    call::{Caller, request},
    failure::Failure,
    output::Output,
    view::Identity,
};

pub(super) async fn run(caller: &Caller, output: &mut Output<'_>) -> Result<(), Failure> {
    let answer = caller.client().who_am_i(request(v1::WhoAmIRequest {})).await;
    let answer = answer.map_err(|status| caller.explain(&status))?.into_inner();
    Ok(output.one(&Identity::from(answer))?)
}
