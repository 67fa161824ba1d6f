//! What the numbers mean.

use chrono::TimeDelta;

use almanac_schemas::Instant;

use super::Finding;
use crate::status::{Measuring, bytes};

/// What a file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    /// Bytes that this user may still use.
    pub free: u64,
    /// All of its bytes.
    pub total: u64,
    /// Files that can still be made; of no meaning where there are none at all.
    pub free_files: u64,
    /// All files that there can be.
    pub total_files: u64,
    /// Bytes that are kept for the host.
    pub reserve: u64,
}

/// Below this, or twice what is kept for the host, runs soon fail with their artifacts.
const LITTLE: u64 = 1 << 30;
/// Below this, the agent cannot keep its records.
const NOTHING: u64 = 64 << 20;
const FEW_FILES: u64 = 10_000;

/// A disk that runs write to.
pub(super) fn disk(check: &'static str, space: Space) -> Finding {
    let kept = bytes(space.reserve);
    let found =
        format!("{} of {} are free, and {kept} kept for the host", bytes(space.free), bytes(space.total));
    let remedy = "make room: `docker system df` and `du -xh --max-depth=2 /` show what takes it";
    if space.total_files > 0 && space.free_files < FEW_FILES {
        let found = format!("only {} more files can be made on its file system", space.free_files);
        return Finding::bad(check, found, "remove files that nobody needs: `df -i` shows where they are");
    }
    match space.free {
        free if free < space.reserve => {
            let remedy = format!("{remedy}; or keep less, with `disk-reserve` in `[policy]`");
            Finding::bad(check, format!("no run starts: {found}"), remedy)
        }
        free if free < NOTHING => Finding::bad(check, found, remedy),
        free if free < LITTLE.max(space.reserve.saturating_mul(2)) => Finding::warning(check, found, remedy),
        _ => Finding::good(check, found),
    }
}

/// What an instant of the reconciler says about this clock: it was written to the second, and took a round trip.
pub(super) fn clock(offset: TimeDelta, round_trip: TimeDelta) -> Finding {
    let uncertain = TimeDelta::seconds(1) + round_trip;
    let by = format!("{}.{} s", offset.abs().num_seconds(), offset.abs().subsec_millis() / 100);
    if offset.abs() <= uncertain {
        return Finding::good("clock", "it agrees with the reconciler's to about a second");
    }
    let side = if offset > TimeDelta::zero() { "ahead of" } else { "behind" };
    let found = format!("it is {by} {side} the reconciler's");
    let remedy =
        "have it set from the network: `timedatectl set-ntp true`, and see `timedatectl timesync-status`";
    // A token is good for five minutes, and one from the future for none.
    if offset.abs() > TimeDelta::seconds(30) {
        Finding::bad("clock", found, remedy)
    } else {
        Finding::warning("clock", found, remedy)
    }
}

/// Which limits the engine can enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub memory: bool,
    pub swap: bool,
    pub cpus: bool,
    pub pids: bool,
}

pub(super) fn cgroups(version: &str, limits: Limits) -> Finding {
    let missing: Vec<&str> = [("memory", limits.memory), ("cpus", limits.cpus), ("pids", limits.pids)]
        .into_iter()
        .filter(|(_, there)| !there)
        .map(|(name, _)| name)
        .collect();
    if !missing.is_empty() {
        return Finding::bad(
            "cgroups",
            format!("the engine cannot limit {}: a run could take all of the host", missing.join(", ")),
            "enable the controllers; on a Raspberry Pi add `cgroup_enable=memory cgroup_memory=1` to /boot/firmware/cmdline.txt and restart",
        );
    }
    if !limits.swap {
        return Finding::warning(
            "cgroups",
            format!(
                "version {version}; swap is not limited, so that a run may take more of it than of memory"
            ),
            "add `swapaccount=1` to the kernel's command line, or do without swap",
        );
    }
    Finding::good("cgroups", format!("version {version}: memory, CPUs and processes are limited"))
}

/// How a provider is doing that an agent measures by.
pub(super) fn telemetry(measuring: &Measuring, now: Instant) -> Finding {
    let found = format!("{} {}", measuring.provider, measuring.standing(now));
    if measuring.problem.is_none() {
        return Finding::good("telemetry", found);
    }
    let remedy = match measuring.provider.as_str() {
        "dish" => {
            "see that the terminal is on, and that `telemetry.dish.address` in the node's manifest is its own"
        }
        "weather" => "see `weather` in the testbed's Config, and the reconciler's log",
        "satellites" => "see `satellites` in the testbed's Config, and the reconciler's log",
        "local" => "correct `[telemetry.local]` in the agent's configuration, or what it names",
        _ => "see the agent's log: `journalctl -u almanac-node`",
    };
    Finding::warning("telemetry", found, remedy)
}

/// What an agent needs to change the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Powers {
    pub is_root: bool,
    /// Linux's capabilities, a bit each.
    pub capabilities: u64,
    /// Whether a service manager keeps `/proc/sys` or `/sys` from being written.
    pub are_files_locked: bool,
}

/// To enter a container's network and set it: `CAP_NET_ADMIN`, `CAP_SYS_PTRACE`, `CAP_SYS_ADMIN`.
const OF_SYSCTLS: u64 = 1 << 12 | 1 << 19 | 1 << 21;

/// Most nodes need none of it, so that it is no problem not to have it.
pub(super) fn kernel(powers: Powers) -> Finding {
    let sysctls = powers.capabilities & OF_SYSCTLS == OF_SYSCTLS;
    // The files of `/proc/sys` are root's, whatever capabilities others have.
    let files = powers.is_root && !powers.are_files_locked;
    let found = match (sysctls, files) {
        (true, true) => "runs can change what the node's manifest lists",
        (true, false) => "runs can change sysctls of their own network, and no files of this host",
        (false, true) => {
            "runs can change files of this host, and their sysctls only as their jobs declare them"
        }
        (false, false) => {
            "runs get the sysctls that their jobs declare and change nothing else; docs/node.md says what it takes"
        }
    };
    Finding::good("kernel", found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Health;

    #[test]
    fn a_disk_needs_room_for_records_and_for_artifacts() {
        let space =
            Space { free: 50 << 30, total: 100 << 30, free_files: 1 << 20, total_files: 1 << 21, reserve: 0 };
        let with = |free, reserve| disk("disk", Space { free, reserve, ..space }).health;
        assert_eq!(with(50 << 30, 0), Health::Good);
        assert_eq!(with(500 << 20, 0), Health::Warning);
        assert_eq!(with(5 << 20, 0), Health::Bad);
        assert_eq!(with(5 << 30, 2 << 30), Health::Good);
        assert_eq!(with(3 << 30, 2 << 30), Health::Warning);
        assert_eq!(with(1 << 30, 2 << 30), Health::Bad);
        let short = disk("disk", Space { free: 1 << 30, reserve: 2 << 30, ..space });
        assert!(short.found.starts_with("no run starts: 1.0 GiB of 100.0 GiB are free, and 2.0 GiB kept"));
        let files = |free_files, total_files| disk("disk", Space { free_files, total_files, ..space }).health;
        assert_eq!(files(10, 1 << 20), Health::Bad);
        assert_eq!(files(0, 0), Health::Good, "btrfs counts none");
    }

    #[test]
    fn a_clock_is_judged_by_what_can_be_known() {
        let off = |millis, trip| clock(TimeDelta::milliseconds(millis), TimeDelta::milliseconds(trip));
        assert_eq!(off(900, 10).health, Health::Good);
        assert_eq!(off(1500, 600).health, Health::Good, "a slow link hides that much");
        assert_eq!(off(-2500, 10).health, Health::Warning);
        assert!(off(-2500, 10).found.contains("2.5 s behind"));
        assert_eq!(off(120_000, 10).health, Health::Bad);
    }

    #[test]
    fn what_can_be_changed_of_the_kernel_follows_from_what_the_agent_is() {
        let found = |is_root, capabilities, are_files_locked| {
            kernel(Powers { is_root, capabilities, are_files_locked }).found
        };
        assert!(found(true, u64::MAX, false).contains("what the node's manifest lists"));
        assert!(found(true, u64::MAX, true).contains("no files"));
        assert!(found(true, !(1 << 21), false).contains("only as their jobs declare"));
        assert!(
            found(false, u64::MAX, false).contains("no files"),
            "capabilities are not enough for /proc/sys"
        );
        assert!(found(false, 0, false).contains("docs/node.md"));
    }

    #[test]
    fn a_limit_that_does_not_hold_is_a_problem() {
        let all = Limits { memory: true, swap: true, cpus: true, pids: true };
        assert_eq!(cgroups("2", all).health, Health::Good);
        assert_eq!(cgroups("1", Limits { swap: false, ..all }).health, Health::Warning);
        let without = cgroups("2", Limits { memory: false, ..all });
        assert_eq!(without.health, Health::Bad);
        assert!(without.remedy.contains("cgroup_enable=memory"));
    }
}
