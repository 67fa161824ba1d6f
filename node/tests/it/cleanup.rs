//! What runs leave on the host: nothing.

use almanac_schemas::{Phase, Reason};

use crate::harness::{Job, World};

#[test]
fn what_a_command_leaves_running_ends_with_it() {
    let mut world = World::new();
    let (run, log) = world.run("litter", Job::soon("litter").sh("sleep 300 & sleep 301 & echo done"));
    assert_eq!(run.end(), Some((Phase::Completed, Reason::ExitCode)));
    assert_eq!(log, "done\n");
    world.wait_tidy();
}

#[test]
fn the_state_folder_is_its_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new();
    world.run("any", Job::soon("any"));
    let mode = std::fs::metadata(world.state_dir()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
