//! What tests name: instants, ids, commits.

/// The current instant of all tests.
pub(crate) const NOW: &str = "2027-01-10T12:00:00Z";

/// The run that completed and left files.
pub(crate) const COMPLETED: &str = "8d863d4f-9fe6-5c16-837c-10e6c0fa0321";
/// The run that is under way.
pub(crate) const RUNNING: &str = "2f4f3c1f-1c5a-5f0e-9d5e-7b110c5a5a53";
/// The run that never was.
pub(crate) const MISSED: &str = "0c5a5a53-1c5a-5f0e-9d5e-2f4f3c1f7b11";

pub(super) const APPLIED: &str = "1f0e9d5e2f4f3c1f7b110c5a5a531c5a5f0e9d5e";
pub(super) const PINNED: &str = "5a531c5a5f0e9d5e2f4f3c1f7b110c5a1f0e9d5e";
pub(super) const REJECTED: &str = "7b110c5a5a531c5a5f0e9d5e2f4f3c1f1c5a5f0e";

pub(super) const WAITING: &str = "5f0e9d5e7b110c5a5a531c5a2f4f3c1f1c5a5f0e";

/// The run with two sides, which is on no list.
pub(crate) const PAIR: &str = "b41d0c5a-7e2f-5c88-8a3c-4f3c1f7b1102";

/// Why a commit waits.
pub(super) const REMOVAL: &str = "it removes 11 of 20 jobs (`job-01`, `job-02`, `job-03` and 8 more); if that is meant, an admin says so with `almanac sync approve`, or a commit with the trailer `Almanac-Prune: yes`";
