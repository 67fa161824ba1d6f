//! `server`: a job's server can be reached by its clients, and it can be told when it is ready.

use almanac_schemas::{
    RunRole,
    container::{Network, Protocol},
    job::{Ready, Server},
};
use regex::Regex;

use super::{Context, Draft, Place, single::Subject};
use crate::Rule;

pub(super) fn check(_: &Context<'_>, subject: &Subject<'_, '_>, drafts: &mut Vec<Draft>) {
    let Subject { job, place, targets } = subject;
    let Some(server) = &job.spec.server else { return };
    let place = place.key("spec").key("server");
    let mut report = |place: Place, message: String, help: &str| {
        drafts.push(Draft::new(Rule::Server, place, message).help(help));
    };
    if server.container.network == Network::None {
        let message = "a server without a network cannot be reached".to_owned();
        report(place.key("container").key("network"), message, "leave `network` out: it is `bridge`");
    }
    let clients = targets.iter().filter(|target| target.role == RunRole::Client).count();
    if let Some(port) = server.container.ports.first().filter(|_| clients > 1) {
        let message = format!(
            "each of the {clients} clients of `{}` has a server of its own at the same time, and port {port} of `{}` is for one",
            job.metadata.name, server.node
        );
        report(
            place.key("container").key("ports").on_key(),
            message,
            "declare a job for each client, with servers on ports or at instants of their own",
        );
    }
    readiness(server, &place.key("ready"), &mut report);
}

fn readiness(
    Server { container, ready, .. }: &Server,
    place: &Place,
    report: &mut impl FnMut(Place, String, &str),
) {
    let Ready { tcp, log, exec, .. } = ready;
    let ways = [("tcp", tcp.is_some()), ("log", log.is_some()), ("exec", exec.is_some())];
    let mut given = ways.into_iter().filter(|(_, is_given)| *is_given).map(|(way, _)| way);
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        let message =
            format!("a server is ready by one of `tcp`, `log` and `exec`, not by `{first}` and `{second}`");
        report(place.key(second).on_key(), message, "remove all but one of them");
    }
    let is_published = |port: u16| {
        container.ports.iter().any(|known| (known.number, known.protocol) == (port, Protocol::Tcp))
    };
    if let Some(port) =
        tcp.filter(|port| *port > 0 && container.network == Network::Bridge && !is_published(*port))
    {
        let message = format!(
            "port {port}/tcp is not among the `ports` of the server's container, so nobody reaches it"
        );
        report(place.key("tcp"), message, &format!("add `{port}/tcp` to the `ports` of its container"));
    }
    if let Some(Err(error)) = log.as_deref().map(Regex::new) {
        // The last line of what the library says is what is wrong; the others point into the pattern.
        let text = error.to_string();
        let problem = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let message = format!("`log` is no regular expression: {problem}");
        report(
            place.key("log"),
            message,
            "a plain text is one too, with a backslash before each of `.^$*+?()[]{}|\\`",
        );
    }
    if exec.as_ref().is_some_and(Vec::is_empty) {
        let message = "`exec` names no command".to_owned();
        report(place.key("exec"), message, "write, for example, `exec: [pg_isready]`");
    }
}
