//! The orbits of satellites: what of a text is believed to be two-line element sets, and how they travel.
//! The format and its checksum: <https://celestrak.org/NORAD/documentation/tle-fmt.php>.

use std::io;

use almanac_proto::limits;
use bytes::Bytes;
use thiserror::Error;

/// The longest text, in bytes: 200,000 satellites with their names.
pub const MAX_TEXT: usize = 32 << 20;

/// The most bytes that go to a node: one message, with what is around it.
const MAX_PACKED: usize = limits::MAX_MESSAGE - (1 << 20);

/// How hard it is packed. It is done a few times a day, and read by every node.
const LEVEL: i32 = 12;

/// How long each of the two lines is.
const LINE: usize = 69;

/// The longest name before them. Catalogues have 24 characters.
const NAME: usize = 128;

/// Why a text is not believed. What it says is not repeated: it may be anything.
#[derive(Debug, Error)]
pub enum OrbitsError {
    /// There is nothing in it.
    #[error("it holds no element set")]
    Empty,
    /// It is no text.
    #[error("line {0} is not a line of text in ASCII")]
    Text(usize),
    /// It is something else.
    #[error(
        "line {0} is not where an element set goes on: expected a name, or lines that begin with `1 ` and `2 `"
    )]
    Order(usize),
    /// A line was cut.
    #[error("line {line} has {found} characters, and one of an element set has {LINE}")]
    Length {
        /// Which, from 1.
        line: usize,
        /// How many.
        found: usize,
    },
    /// A line was changed on its way.
    #[error("the checksum of line {0} is wrong")]
    Checksum(usize),
    /// The two lines are of two satellites.
    #[error("line {0} is of another satellite than the one above it")]
    Satellite(usize),
    /// They do not fit into a message.
    #[error("it does not fit into a message to a node: {0} bytes when packed, and {MAX_PACKED} do")]
    Large(usize),
    /// They cannot be packed.
    #[error("it cannot be packed")]
    Pack(#[source] io::Error),
}

/// Checks a text whole, and says how many satellites it is about. One line that is wrong is enough: it may have been
/// cut, or be of somebody else.
///
/// # Errors
///
/// When it is not made of two-line element sets.
pub fn check(text: &[u8]) -> Result<usize, OrbitsError> {
    let mut satellites = 0;
    let mut first: Option<&[u8]> = None;
    let mut is_named = false;
    let mut last = 0;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii_end();
        if !line.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(OrbitsError::Text(number));
        }
        if line.is_empty() {
            continue;
        }
        last = number;
        match first {
            Some(above) => {
                if !line.starts_with(b"2 ") {
                    return Err(OrbitsError::Order(number));
                }
                sound(line, number)?;
                if above[2..7] != line[2..7] {
                    return Err(OrbitsError::Satellite(number));
                }
                satellites += 1;
                (first, is_named) = (None, false);
            }
            None if line.starts_with(b"1 ") => {
                sound(line, number)?;
                first = Some(line);
            }
            None if !is_named && line.len() <= NAME && !line.starts_with(b"2 ") => is_named = true,
            None => return Err(OrbitsError::Order(number)),
        }
    }
    match (first.is_some() || is_named, satellites) {
        (_, 0) => Err(OrbitsError::Empty),
        (true, _) => Err(OrbitsError::Order(last)),
        (false, satellites) => Ok(satellites),
    }
}

/// One of the two lines, by its length and its checksum: the sum of its digits, where a minus counts as one.
fn sound(line: &[u8], number: usize) -> Result<(), OrbitsError> {
    if line.len() != LINE {
        return Err(OrbitsError::Length { line: number, found: line.len() });
    }
    let value = |byte: &u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'-' => 1,
        _ => 0,
    };
    let sum: u32 = line[..LINE - 1].iter().map(value).sum();
    if line[LINE - 1] != b'0' + (sum % 10) as u8 {
        return Err(OrbitsError::Checksum(number));
    }
    Ok(())
}

/// A checked text as it goes to nodes.
///
/// # Errors
///
/// When it does not fit.
pub fn pack(text: &[u8]) -> Result<Bytes, OrbitsError> {
    let packed = zstd::bulk::compress(text, LEVEL).map_err(OrbitsError::Pack)?;
    if packed.len() > MAX_PACKED {
        return Err(OrbitsError::Large(packed.len()));
    }
    Ok(packed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the format's description.
    const ISS: &str = "ISS (ZARYA)\n\
        1 25544U 98067A   08264.51782528 -.00002182  00000-0 -11606-4 0  2927\n\
        2 25544  51.6416 247.4627 0006703 130.5360 325.0288 15.72125391563537\n";

    #[test]
    fn element_sets_are_believed_with_and_without_names() {
        assert_eq!(check(ISS.as_bytes()).unwrap(), 1);
        assert_eq!(check(ISS.repeat(3).replace('\n', "\r\n").as_bytes()).unwrap(), 3);
        let unnamed = ISS.split_once('\n').unwrap().1;
        assert_eq!(check(format!("{unnamed}\n{ISS}").trim_end().as_bytes()).unwrap(), 2);
    }

    #[test]
    fn what_is_cut_changed_or_something_else_is_not_believed() {
        for (text, expected) in [
            (String::new(), "it holds no element set"),
            ("Invalid query: no such group\n".to_owned(), "it holds no element set"),
            ("<!DOCTYPE html>\n<html>".to_owned(), "line 2 is not where"),
            (ISS[..ISS.len() - 10].to_owned(), "line 3 has 60 characters"),
            (ISS.replace("51.6416", "51.6417"), "the checksum of line 3"),
            (format!("{ISS}{}", ISS.lines().nth(1).unwrap()), "line 4 is not where"),
            (format!("{ISS}NOAA 1\n"), "line 4 is not where"),
            (format!("{ISS}{}", ISS.lines().nth(2).unwrap()), "line 4 is not where"),
            (ISS.replace("ZARYA", "ZÁRYA"), "line 1 is not a line of text"),
            (ISS.replace("2 25544  51.6416", "2 25553  51.6416"), "line 3 is of another satellite"),
            (format!("{}{ISS}", "x".repeat(NAME + 1)), "line 1 is not where"),
        ] {
            let error = check(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}: {text}");
        }
    }

    #[test]
    fn what_is_packed_is_much_smaller() {
        let text = ISS.repeat(1000);
        let packed = pack(text.as_bytes()).unwrap();
        assert!(packed.len() < text.len() / 10);
        assert_eq!(zstd::bulk::decompress(&packed, MAX_TEXT).unwrap(), text.as_bytes());
    }
}
