//! Many things that recur, in one order of time.

use std::{cmp::Reverse, collections::BinaryHeap};

use almanac_schemas::Occurrence;

/// Merges streams that are each in the order of their starts. What starts at the same instant keeps
/// the order of the streams. Of each stream only the next occurrence is ever computed.
pub fn in_order<I, T>(mut streams: Vec<(I, T)>) -> impl Iterator<Item = (Occurrence, T)>
where
    I: Iterator<Item = Occurrence>,
    T: Clone,
{
    let mut upcoming = BinaryHeap::with_capacity(streams.len());
    for (index, (stream, _)) in streams.iter_mut().enumerate() {
        upcoming.extend(stream.next().map(|next| Reverse((next.start, index, next.end))));
    }
    std::iter::from_fn(move || {
        let Reverse((start, index, end)) = upcoming.pop()?;
        let (stream, of) = &mut streams[index];
        upcoming.extend(stream.next().map(|next| Reverse((next.start, index, next.end))));
        Some((Occurrence { start, end }, of.clone()))
    })
}
