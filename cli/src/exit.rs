//! Exit codes, the same for every command.

use std::process::ExitCode;

/// How a command ended. The number is what scripts see; it never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked.
    Done = 0,
    /// The answer is no: nothing of that name, no log, a commit that did not come into force, a node
    /// that is not heard of.
    Negative = 1,
    /// It could not start: wrong usage, missing settings, an unusable key file.
    Usage = 2,
    /// The reconciler does not know the caller, or the caller may not do that.
    Unauthorised = 3,
    /// The reconciler cannot be reached, or does not answer in time.
    Unavailable = 4,
    /// Something broke on the way: the reconciler's own error, a full disk, content that is not
    /// what its checksum says.
    Failed = 5,
}

impl Exit {
    /// Every code with its meaning, for the reference.
    pub const MEANINGS: [(Self, &'static str); 6] = [
        (Self::Done, "done"),
        (
            Self::Negative,
            "the answer is no: there is nothing of that name, a run has no log, a commit did not come into force, a node is not heard of",
        ),
        (Self::Usage, "it could not start: wrong usage, missing settings, an unusable key file"),
        (Self::Unauthorised, "the reconciler does not know the caller, or the caller may not do that"),
        (Self::Unavailable, "the reconciler cannot be reached or does not answer in time"),
        (
            Self::Failed,
            "something broke on the way: the reconciler's own error, a full disk, content that does not match its checksum",
        ),
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
