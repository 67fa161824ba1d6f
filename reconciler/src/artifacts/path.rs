//! Where a file lies in a store: `{node}/{job}/{yyyy}/{mm}/{dd}/{run}/{name}` by the day in UTC that
//! the run was scheduled on; those of a job's server lie below `{run}/server/`.

use almanac_schemas::RunRole;

use super::FileName;
use crate::store::RunRow;

/// The path of a file of a run.
pub(super) fn of(run: &RunRow, name: &FileName) -> String {
    let day = run.scheduled_at.format("%Y/%m/%d");
    let part = match run.role {
        RunRole::Client => "",
        RunRole::Server => "server/",
    };
    format!("{}/{}/{day}/{}/{part}{name}", run.node, run.job, run.id)
}
