//! What nodes measure, for those who watch it: a node sends it while somebody does, at whichever reconciler, and not
//! otherwise. Nothing of it is written to the database.
//!
//! [`hub`] says who watches which node (its [audience](crate::audience)), and what was heard last of each; [`watcher`]
//! is one who does. Where a watcher is at one reconciler and the node at another, readings go by the
//! [letters](crate::logs::letters) that logs go by.

pub mod hub;
pub mod watcher;

pub use hub::Live;
