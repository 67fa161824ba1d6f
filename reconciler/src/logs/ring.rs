//! The newest part of a log, for all who watch it: bounded, so that what is old goes when something new comes.

use std::collections::VecDeque;

use bytes::Bytes;

/// The newest part of a log.
#[derive(Debug)]
pub struct Ring {
    /// Each with where it begins; without a gap in between.
    pieces: VecDeque<(u64, Bytes)>,
    end: u64,
    size: usize,
    most: usize,
}

impl Ring {
    /// Nothing yet, from a place on; at most so many bytes, but one piece always.
    pub fn new(at: u64, most: usize) -> Self {
        Self { pieces: VecDeque::new(), end: at, size: 0, most }
    }

    /// Where the next piece begins.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Where the oldest piece begins.
    pub fn begin(&self) -> u64 {
        self.pieces.front().map_or(self.end, |(begin, _)| *begin)
    }

    /// Adds a piece. What is there goes when it does not follow it.
    pub fn push(&mut self, begin: u64, data: Bytes) {
        if begin != self.end {
            self.pieces.clear();
            self.size = 0;
        }
        self.end = begin.saturating_add(data.len() as u64);
        if data.is_empty() {
            return;
        }
        self.size += data.len();
        self.pieces.push_back((begin, data));
        while self.size > self.most && self.pieces.len() > 1 {
            let oldest = self.pieces.pop_front();
            self.size -= oldest.map_or(0, |(_, data)| data.len());
        }
    }

    /// What comes at a place, where a line begins: all of its piece. Nothing when it is not there, not yet or not any more.
    pub fn at(&self, place: u64) -> Option<Bytes> {
        let index = self.pieces.partition_point(|(begin, _)| *begin <= place).checked_sub(1)?;
        let (begin, data) = self.pieces.get(index)?;
        let skip = usize::try_from(place - begin).ok()?;
        (skip < data.len()).then(|| data.slice(skip..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_goes_and_what_is_there_is_found() {
        let mut ring = Ring::new(100, 10);
        assert_eq!((ring.at(100), ring.begin(), ring.end()), (None, 100, 100));
        for (begin, data) in [(100, "aaaa"), (104, "bbbb"), (108, "cccc")] {
            ring.push(begin, Bytes::from_static(data.as_bytes()));
        }
        assert_eq!((ring.begin(), ring.end()), (104, 112));
        assert_eq!(ring.at(103), None);
        assert_eq!(ring.at(106).unwrap(), "bb");
        assert_eq!(ring.at(108).unwrap(), "cccc");
        assert_eq!(ring.at(112), None);
        // Larger than all that is allowed, and after a gap.
        ring.push(200, Bytes::from_static(&[b'd'; 50]));
        assert_eq!((ring.begin(), ring.end()), (200, 250));
        assert_eq!(ring.at(110), None);
    }
}
