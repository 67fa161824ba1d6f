//! Whether the commits that lead from what is in force to a new head are signed by somebody who may
//! make them.
//!
//! It is asked for by `commits.requireSigned` of the testbed **in force**, so a commit cannot switch it off
//! for itself, and the one that switches it on needs no signature yet. Each commit between must carry an
//! SSH signature over the whole commit (`signature.rs`) by the `ssh-ed25519` key of one user, or by a
//! [`TrustedKey`] of the reconciler's own configuration; author and committer mean nothing. What its
//! signer may change is what `almanac-validate check --author` allows ([`almanac_validate::ownership`]).
//!
//! # By which keys and rights
//!
//! A commit is judged by what the branch declares **before** it: what is in force for the first, and
//! then the tree of the commit before. So a key counts from the commit after the one that adds it, and
//! no more from the one that removes it.
//!
//! The branch is the line of first parents from the commit in force to the head. A commit beside this
//! line came in by a merge. It is judged for what it changes of its own parent, by keys and rights of the
//! branch as it was before that merge: what a side branch says about them is worth nothing until it is
//! merged, or somebody could grant themselves a right there and use it at once. When the line of first
//! parents does not lead to the commit in force (a merge with its parents the other way round, a
//! rewritten branch), there is no telling what the branch was in between, and what is in force decides
//! for all commits.
//!
//! # What a merge changes
//!
//! A merge is judged for what it adds to its parents: the change from what Git makes of the two by itself
//! to what was committed. Where Git cannot merge a file by itself, it is the change from either side. So
//! what others did on both branches is not held against whoever merges them, and to leave out or
//! put back something of either branch is a change like any other. With three parents and more it is the
//! change from each of them, which only an admin can make.
//!
//! # A trusted key
//!
//! It is for the forge, which signs the merges and squashed commits that it makes after its own reviews, and
//! for an operator who has to repair a testbed. Whoever holds it vouches for those reviews, so it may do what an admin may.
//!
//! # Vouching
//!
//! A refused commit is refused for ever, also below later commits: whoever takes it back leaves it in the
//! history. It may be taken out by a force-push, since it never was in force. Or an admin vouches for it with a signed commit
//! that has the trailer `Almanac-Vouch: COMMIT` (`vouch.rs`). Only an admin by what is **in force** can: a refused commit may
//! be the very one that makes somebody an admin.
//!
//! # A rewritten branch
//!
//! When the head does not contain the commit in force, changes that were in force are taken back, and no
//! commit says so. So the head must be signed by an admin by what is in force, or whoever may push could
//! take back that their key was removed. To go back to an older commit, an admin signs one on top of it.

mod history;
mod merge;
mod refusal;
mod signature;
mod signer;
mod trusted;
mod verify;
mod vouch;

pub use trusted::{TrustedKey, TrustedKeyError};
pub use verify::{Change, Verified, verify};
