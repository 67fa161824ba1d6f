//! What a run wrote: [`tail`] gets it and goes on where a lost connection stopped, [`mod@print`] shows it.

pub mod print;
pub mod tail;

pub use print::Printer;
pub use tail::Tail;
