//! Hashes of lines that stay the same when lines are added above: GitHub knows an alert by them again.
//!
//! This is the hash that GitHub's own upload action computes where a file has none
//! (`fingerprints.ts` of `github/codeql-action`), so that both agree: it warns of each that differs. A
//! line's hash covers the hundred characters from its start on that are no blanks, and it is followed
//! by how often the file had that hash so far.

use std::collections::HashMap;

/// How many characters a hash covers.
const WINDOW: usize = 100;
const FACTOR: u64 = 37;
/// What stands for the end of the file.
const END: u16 = u16::MAX;

/// The hash of each line of a text.
pub(super) fn line_hashes(text: &str) -> Vec<String> {
    let mut rolling = Rolling::default();
    let mut after_return = false;
    for unit in text.encode_utf16().chain([END]) {
        let blank = unit == u16::from(b' ') || unit == u16::from(b'\t');
        if blank || (after_return && unit == u16::from(b'\n')) {
            after_return = false;
            continue;
        }
        after_return = unit == u16::from(b'\r');
        rolling.take(if after_return { u16::from(b'\n') } else { unit });
    }
    for _ in 0..WINDOW {
        rolling.close();
        rolling.push(0);
    }
    rolling.hashes
}

/// A hash over a window that moves along, and the lines that start in it.
struct Rolling {
    window: [u16; WINDOW],
    /// Whether a line starts at that place of the window.
    starts: [bool; WINDOW],
    /// The place that is overwritten next, which is that of the oldest character.
    next: usize,
    hash: u64,
    /// The factor's power by which the oldest character counts.
    oldest: u64,
    line_starts: bool,
    seen: HashMap<u64, usize>,
    hashes: Vec<String>,
}

impl Default for Rolling {
    fn default() -> Self {
        Self {
            window: [0; WINDOW],
            starts: [false; WINDOW],
            next: 0,
            hash: 0,
            oldest: (0..WINDOW).fold(1, |power: u64, _| power.wrapping_mul(FACTOR)),
            line_starts: true,
            seen: HashMap::new(),
            hashes: Vec::new(),
        }
    }
}

impl Rolling {
    fn take(&mut self, unit: u16) {
        self.close();
        self.starts[self.next] = self.line_starts;
        self.line_starts = unit == u16::from(b'\n');
        self.push(unit);
    }

    /// Hashes the line that starts at the oldest place, which is about to be overwritten.
    fn close(&mut self) {
        if std::mem::take(&mut self.starts[self.next]) {
            let seen = self.seen.entry(self.hash).or_default();
            *seen += 1;
            self.hashes.push(format!("{:x}:{seen}", self.hash));
        }
    }

    fn push(&mut self, unit: u16) {
        let gone = u64::from(std::mem::replace(&mut self.window[self.next], unit));
        self.hash = self.hash.wrapping_mul(FACTOR).wrapping_add(u64::from(unit));
        self.hash = self.hash.wrapping_sub(self.oldest.wrapping_mul(gone));
        self.next = (self.next + 1) % WINDOW;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the action's own tests.
    #[test]
    fn hashes_are_those_of_the_upload_action() {
        assert_eq!(line_hashes(""), ["c129715d7a2bc9a3:1"]);
        assert_eq!(
            line_hashes(" a\nb\n  \t\tc\n d"),
            ["271789c17abda88f:1", "54703d4cd895b18:1", "180aee12dab6264:1", "a23a3dc5e078b07b:1"]
        );
        for end in ["\n", "\r", "\r\n"] {
            assert_eq!(
                line_hashes(&" hello; \t\nworld!!!\n\n\n  \t\tGreetings\n End\n".replace('\n', end)),
                [
                    "e9496ae3ebfced30:1",
                    "fb7c023a8b9ccb3f:1",
                    "ce8ba1a563dcdaca:1",
                    "e20e36e16fcb0cc8:1",
                    "b3edc88f2938467e:1",
                    "c8e28b0b4002a3a0:1",
                    "c129715d7a2bc9a3:1"
                ]
            );
        }
    }

    #[test]
    fn lines_above_do_not_matter_and_twins_are_told_apart() {
        let text = format!("{}b\n", "a\n".repeat(200));
        let moved = line_hashes(&format!("# a comment\n{text}"));
        let hashes = line_hashes(&text);
        assert_eq!(hashes[150..], moved[151..]);
        assert_eq!(hashes[0].split_once(':').unwrap().0, hashes[1].split_once(':').unwrap().0);
        assert_ne!(hashes[0], hashes[1]);
    }
}
