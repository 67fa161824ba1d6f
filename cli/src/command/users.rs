//! `almanac users`.

use almanac_schemas::Kind;

use crate::{args::Users, call::Caller, failure::Failure, output::Output};

pub(super) async fn run(command: Users, caller: &Caller, output: &mut Output<'_>) -> Result<(), Failure> {
    match command {
        Users::History { name, limit } => {
            super::history::list(Kind::User, name.as_str(), limit, caller, output).await
        }
    }
}
