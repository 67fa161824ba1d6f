//! When nodes are reserved, and when they are free.
//!
//! A [`Calendar`] is one node's: what runs there and its maintenance, as [`Entry`]s in the order of
//! time. An exclusive run, together with the node's guard after it, and a maintenance window reserve the
//! node; other runs do not. From that follow how much of a time is reserved ([`Utilisation`]), the times
//! in which nothing reserves any of some nodes ([`gaps()`]), and the periods at which a recurring job
//! would be in nobody's way ([`free_crons`]).
//!
//! Everything is computed lazily and in one pass in the order of time: years are never expanded into
//! memory.

mod gaps;
mod hours;
mod merge;
mod nearest;
mod node;
mod offsets;
mod period;

pub use gaps::{first_fit, gaps, rounded};
pub use hours::{FewerHours, fewer_hours};
pub use merge::in_order;
pub use nearest::nearest;
pub use node::{Calendar, Claimant, Entry, UnknownNode, Utilisation, What, claimants, entries};
pub use offsets::{FreeCron, Offsets, free_crons, longest};
pub use period::{Period, PeriodError};
