//! Whether a run may have kernel settings now.

use almanac_proto::{
    convert::{FieldError, instant, parse},
    v1::{self, kernel_setting::What},
};
use almanac_schemas::{
    JobName, NodeName, NodeSpec, RunId, RunRole, UserRole,
    kernel::{KernelFile, Setting, Sysctl},
    node::NodeRole,
};
use tonic::Status;

use crate::{
    applied::Applied,
    rights::{Action, Caller, Principal},
};

use super::{Context, context::within, refuse};

/// The most settings that are asked about at once.
const MOST: usize = 64;

/// What a node asks on behalf of a run.
struct Asked {
    run: RunId,
    job: JobName,
    role: RunRole,
    settings: Vec<Setting>,
}

/// Answers a node. That the caller is that node is known.
pub(super) async fn authorize(
    context: &Context,
    node: &NodeName,
    caller: &Caller,
    request: v1::AuthorizeKernelRequest,
) -> Result<v1::AuthorizeKernelResponse, Status> {
    let asked = read(node, request).map_err(refuse::field)?;
    // Before the commit in force is looked at: what is known of the run is never newer than that.
    let stored = context.store.run(asked.run, asked.role);
    let row = within(async { context.database("kernel", stored).await }).await?;
    let over = row.is_some_and(|row| row.state.phase.is_terminal() || row.node != *node);
    let judged = if over {
        Err("the run has ended".to_owned())
    } else {
        judge(&context.applied(), node, caller, &asked)
    };
    let reason = judged.err();
    Ok(v1::AuthorizeKernelResponse { allowed: reason.is_none(), reason: reason.unwrap_or_default() })
}

/// Whether the commit in force lets a run have what is asked for. The error is for people.
fn judge(applied: &Applied, node: &NodeName, caller: &Caller, asked: &Asked) -> Result<(), String> {
    let Asked { job, role, settings, .. } = asked;
    let testbed = &applied.testbed;
    let placed = applied.placements.get(job).is_some_and(|places| places.contains(&(node.clone(), *role)));
    let Some(spec) = testbed.jobs.get(job).filter(|_| placed) else {
        return Err(format!("the job `{job}` is not declared for this node any more"));
    };
    if *role != RunRole::Client {
        return Err("kernel settings are of the job's own container, not of its server".to_owned());
    }
    let owner = &spec.owner;
    let action = Action::ReachKernel { owner, node };
    caller.may(action).map_err(|error| error.to_string())?;
    let declared = testbed.users.get(owner);
    let (role, team) = declared.map_or((UserRole::User, None), |user| (user.role, user.team.clone()));
    let principal = Principal::User { name: owner.clone(), role, team };
    Caller { principal, key: String::new() }.may(action).map_err(|error| error.to_string())?;
    let spec = testbed.nodes.get(node).map(|entry| &entry.spec);
    let spec = spec.ok_or_else(|| format!("the node `{node}` is not declared any more"))?;
    settings.iter().try_for_each(|setting| allowed(node, spec, setting))
}

fn allowed(node: &NodeName, spec: &NodeSpec, setting: &Setting) -> Result<(), String> {
    if spec.role != NodeRole::Privileged {
        return Err(format!("the node `{node}` has the role `{}`; it must be `privileged`", spec.role));
    }
    if spec.kernel.as_ref().is_some_and(|allowance| allowance.allows(setting)) {
        return Ok(());
    }
    Err(format!(
        "the node `{node}` does not list {setting}; ask its owner, `{}`, to add it to `kernel`",
        spec.owner
    ))
}

fn read(node: &NodeName, request: v1::AuthorizeKernelRequest) -> Result<Asked, FieldError> {
    let role = RunRole::try_from(request.role())?;
    let (run, job) = (parse("run_id", &request.run_id)?, parse("job", &request.job)?);
    let at = instant("scheduled_at", request.scheduled_at.as_ref())?;
    if run != RunId::new(&job, node, at) {
        return Err(FieldError::invalid("run_id", "it is not that of job, node and instant"));
    }
    if request.settings.is_empty() || request.settings.len() > MOST {
        return Err(FieldError::invalid("settings", format!("expected at least one and at most {MOST}")));
    }
    let settings = request.settings.into_iter().map(setting).collect::<Result<_, _>>()?;
    Ok(Asked { run, job, role, settings })
}

fn setting(setting: v1::KernelSetting) -> Result<Setting, FieldError> {
    let read = match setting.what {
        Some(What::Sysctl(name)) => Sysctl::parse(&name).map(Setting::Sysctl),
        Some(What::File(path)) => KernelFile::parse(&path).map(Setting::File),
        None => return Err(FieldError::missing("settings.what")),
    };
    read.map_err(|error| FieldError::invalid("settings", error))
}
