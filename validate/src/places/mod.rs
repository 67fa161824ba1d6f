//! The text of a file as a sequence of events with positions. The only module that knows the parser
//! of positions; [`crate::yaml`] knows that of values.

mod comments;
mod hazard;
mod oddities;
mod positions;
mod rewrite;
mod scalar;
mod tree;

pub(crate) use comments::comments;
pub(crate) use hazard::{Hazard, hazard};
pub(crate) use oddities::{Oddity, OddityKind, may_hold_tags, oddities};
pub(crate) use positions::{Focus, Positions, Spot};
pub(crate) use rewrite::{Change, Remedy};
