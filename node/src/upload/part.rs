//! How a large file is cut: into parts, each a call that the reconciler answers with what it has, and these into
//! messages.

use std::time::Duration;

use almanac_proto::v1;

/// The fewest bytes that are read, and sent, at once.
pub(super) const CHUNK: usize = 16 << 10;

/// Bytes in one message of a part. What has begun is not taken back when an exclusive run begins, so it is short: the
/// sixteenth of what the link carries in a second, and at least 16 KiB. On a fast link, more would be lost to the cost of
/// messages than to the waiting.
fn message_size(part: usize) -> usize {
    (part / 16).clamp(CHUNK, 256 << 10)
}

/// How much a part is to hold: as much as the link carries in about a second. Whatever lies in buffers on the way when
/// an exclusive run begins is less than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartSize(u64);

impl PartSize {
    const LEAST: u64 = 64 << 10;
    const FIRST: u64 = 256 << 10;
    /// Bounded, so that a call can have a deadline, and the agent little memory.
    const MOST: u64 = 8 << 20;
    const SECOND: u128 = 1_000_000;

    /// Where nothing is known of the link.
    pub(super) const fn first() -> Self {
        Self(Self::FIRST)
    }

    /// How long the next part is of what is left of a file.
    pub(super) fn of(self, left: u64) -> u64 {
        self.0.min(left)
    }

    /// The same, where a store bounds how short a part may be that is not the last one, and how long.
    pub(super) fn within(self, bounds: &v1::DirectUpload, left: u64) -> u64 {
        self.0.min(bounds.most).max(bounds.least).min(left)
    }

    /// Learns how long a part took. It doubles at most, since a short part says little.
    pub(super) fn learn(&mut self, bytes: u64, took: Duration) {
        let carried = u128::from(bytes) * Self::SECOND / took.as_micros().max(1);
        let most = self.0.saturating_mul(2).min(Self::MOST);
        self.0 = u64::try_from(carried).unwrap_or(u64::MAX).clamp(Self::LEAST, most);
    }
}

/// The messages of a part. They share its memory.
pub(super) fn messages(upload_id: &str, offset: u64, part: &bytes::Bytes) -> Vec<v1::UploadRequest> {
    let size = message_size(part.len());
    (0..part.len())
        .step_by(size)
        .map(|start| {
            let data = part.slice(start..part.len().min(start + size));
            let (offset, crc32) = (offset + start as u64, Some(crc32fast::hash(&data)));
            v1::UploadRequest { upload_id: upload_id.to_owned(), offset, data, crc32 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cut_into_messages_without_gap_or_repeat() {
        const SIZE: usize = 16 << 10;
        let part = bytes::Bytes::from(vec![7; SIZE * 2 + 3]);
        let messages = messages("u", 100, &part);
        let shape: Vec<(u64, usize)> =
            messages.iter().map(|message| (message.offset, message.data.len())).collect();
        assert_eq!(shape, [(100, SIZE), (100 + SIZE as u64, SIZE), (100 + 2 * SIZE as u64, 3)]);
        assert!(super::messages("u", 0, &bytes::Bytes::new()).is_empty());
        assert_eq!((message_size(1 << 20), message_size(4 << 20)), (64 << 10, 256 << 10));
    }

    #[test]
    fn a_store_has_its_bounds() {
        let bounds = |least, most| v1::DirectUpload { least, most };
        let size = PartSize::first();
        assert_eq!(size.within(&bounds(5 << 20, 8 << 20), u64::MAX), 5 << 20);
        assert_eq!(size.within(&bounds(5 << 20, 8 << 20), 7), 7, "the last part");
        assert_eq!(size.within(&bounds(1, 8 << 20), u64::MAX), PartSize::FIRST);
        assert_eq!(size.within(&bounds(1, 1000), u64::MAX), 1000);
    }

    #[test]
    fn parts_are_as_long_as_a_second_of_the_link() {
        let mut size = PartSize::first();
        assert_eq!((size.of(10), size.of(u64::MAX)), (10, PartSize::FIRST));
        // A slow link, down to the least.
        size.learn(PartSize::FIRST, Duration::from_secs(2));
        assert_eq!(size.of(u64::MAX), PartSize::FIRST / 2);
        size.learn(1000, Duration::from_secs(200));
        assert_eq!(size.of(u64::MAX), PartSize::LEAST);
        // A fast one, in steps, up to the most.
        size.learn(PartSize::LEAST, Duration::ZERO);
        assert_eq!(size.of(u64::MAX), 2 * PartSize::LEAST);
        for _ in 0..10 {
            size.learn(size.of(u64::MAX), Duration::from_millis(1));
        }
        assert_eq!(size.of(u64::MAX), PartSize::MOST);
    }
}
