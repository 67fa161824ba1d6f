//! Who may change what in Git.
//!
//! An admin may change everything; an owner their own jobs, and some fields of their own `User` and of
//! nodes they own ([`table`] lists them). Rights are those of the branch that a change goes to: what a
//! change says about them counts once it is merged, so nobody can grant themselves one.
//!
//! What cannot be judged, since it has errors there, is refused. What is in Git and no manifest, such as
//! workflows and `.almanacignore`, is not looked at here: `almanac-validate codeowners` puts it into the
//! hands of admins. (What a changed `.almanacignore` hides or shows does count, as any other change.)

mod author;
mod branch;
mod judge;
mod places;
pub mod table;

pub use author::Author;
pub use branch::Branch;
pub use judge::{Violation, admins, judge};
pub use places::findings;
