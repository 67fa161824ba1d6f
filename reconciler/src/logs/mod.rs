//! What runs write, for those who watch it: from the store where it is stored, and from its node while the run goes on.
//!
//! A node is asked for a log while somebody watches it, and not otherwise: the logs that are wanted ride on its stream of
//! desired states, and it opens one stream for each, however many watch. On that stream it is asked for pieces. What
//! is new is asked for once and goes to a [`ring`] that all watchers take from, each at its own pace. Whoever is behind
//! the ring, because he began earlier or reads slowly, asks for pieces of his own, one after the other; nobody waits
//! for him, and nothing is kept for him.
//!
//! [`question`] is what is asked; [`relay`] is one log; [`hub`] says who watches which (its
//! [audience](crate::audience)); [`watcher`] is one who does; [`stored`] reads what is stored. Where a watcher is at one
//! reconciler and the node at another, questions and pieces go by [`letters`], which [`post`] carries.

pub mod hub;
pub mod letters;
pub mod post;
pub mod question;
pub mod relay;
pub mod ring;
pub mod stored;
pub mod watcher;

pub use hub::Hub;
pub use question::{From, LogKey, Piece, Question};
pub use relay::Relay;
