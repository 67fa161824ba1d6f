//! `almanac runs logs`.

use almanac_proto::v1;

use crate::{
    args::Logs,
    call::Caller,
    failure::Failure,
    log::{Printer, Tail},
    output::Output,
};

pub(super) async fn run(wanted: Logs, caller: &Caller, output: &mut Output<'_>) -> Result<(), Failure> {
    let Logs { id, follow, since, tail, timestamps, stream, role } = wanted;
    let since = since.map(|since| since.resolve(output.look.now));
    let mut printer = Printer::new(stream, timestamps, output.format);
    let tail = Tail { id, role: v1::Role::from(role), follow, lines: tail, since, stream };
    tail.print(&mut printer, caller, output).await
}
