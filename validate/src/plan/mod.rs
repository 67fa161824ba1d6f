//! A change of a testbed: what turns one into another, and what that means for those who share it.
//!
//! [`Plan`] is the change itself; [`Preview`] is what follows from it: runs and node-hours, the time
//! of nodes, the next instants, and what daylight saving does to them. Occurrences are looked at in
//! `instants` alone.

mod daylight;
mod diff;
mod fields;
mod instants;
mod load;
mod preview;
mod retention;

pub use daylight::Transition;
pub use diff::{Action, ActionError, Change, Counts, Edit, Plan};
pub use fields::FieldChange;
pub use load::{Load, NodeTime};
pub(crate) use preview::renewed;
pub use preview::{Incomparable, JobPreview, Moved, Preview, Renewed};
pub use retention::Shortened;
