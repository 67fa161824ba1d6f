//! What is measured around nodes and not on them: the weather where they stand, and the orbits of the satellites
//! above them. The reconciler that leads fetches it, so that keys of services stay here and a service is asked once for
//! all; every reconciler passes it on to the nodes whose manifests ask for it.
//!
//! [`source`] is what there is to fetch, and by which settings; [`schedule`] says what is due when, without a clock or
//! a network; [`weather`] and [`orbits`] are what is asked of the two, and what of their answers is believed; [`fetch`]
//! asks; [`task`] carries out. [`known`] is what was fetched, kept in the database so that a restart and another leader
//! ask for nothing anew; [`passing`] tells one node's stream what changed.

pub mod fetch;
pub mod known;
pub mod orbits;
pub mod passing;
pub mod schedule;
pub mod source;
pub mod standing;
pub mod task;
pub mod weather;

pub use known::{Known, Surroundings};
pub use passing::Passing;
pub use schedule::FetchRow;
pub use source::{Place, Source, Validator};
pub use task::Fetching;
