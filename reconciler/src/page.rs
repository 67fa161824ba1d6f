//! Pages of lists.

use almanac_proto::convert::FieldError;

use crate::hex;

/// How many there are on a page where the caller does not say.
const DEFAULT: u32 = 100;

/// The most that there are on a page.
const MOST: u32 = 1_000;

/// How many there are on a page, from what a caller asked for.
pub fn size(asked: i32) -> Result<u32, FieldError> {
    match u32::try_from(asked) {
        Ok(0) => Ok(DEFAULT),
        Ok(size) => Ok(size.min(MOST)),
        Err(_) => Err(FieldError::invalid("page_size", "it is negative")),
    }
}

fn wrong() -> FieldError {
    FieldError::invalid("page_token", "it is not one that a page of this list gave")
}

/// A token that says after what the next page begins. Callers are not to read anything into it.
pub fn token(parts: &[&str]) -> String {
    hex::encode(parts.join("\n"))
}

/// What a token says; nothing for the first page.
pub fn parts<const N: usize>(token: &str) -> Result<Option<[String; N]>, FieldError> {
    if token.is_empty() {
        return Ok(None);
    }
    let text = hex::decode(token).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let parts: Vec<String> = text.split('\n').map(str::to_owned).collect();
    parts.try_into().map(Some).map_err(|_| wrong())
}

/// A token that says after which row the next page begins, by its number.
pub fn numbered(row: i64) -> String {
    token(&[&row.to_string()])
}

/// The number that a token says; nothing for the first page.
pub fn number(token: &str) -> Result<Option<i64>, FieldError> {
    let Some([number]) = parts::<1>(token)? else { return Ok(None) };
    let number = number.parse().ok().filter(|number| *number >= 0);
    number.map(Some).ok_or_else(wrong)
}

/// Cuts what was read to the page's size; one more was asked for, to see whether there is more.
/// Returns the page and whether there is another one.
pub fn cut<T>(mut rows: Vec<T>, size: u32) -> (Vec<T>, bool) {
    let size = size as usize;
    let more = rows.len() > size;
    rows.truncate(size);
    (rows, more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was() {
        assert_eq!(parts::<2>(&token(&["a", "17"])), Ok(Some(["a".to_owned(), "17".to_owned()])));
        assert_eq!(parts::<2>(""), Ok(None));
        for bad in ["zz", "6", "61", "c3"] {
            assert!(parts::<2>(bad).is_err(), "{bad}");
        }
        assert_eq!(number(&numbered(17)), Ok(Some(17)));
        assert_eq!(number(""), Ok(None));
        for bad in ["x", "-1", "9223372036854775808", "1\n2"] {
            assert!(number(&hex::encode(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(size(0), Ok(100));
        assert_eq!(size(7), Ok(7));
        assert_eq!(size(100_000), Ok(1_000));
        assert!(size(-1).is_err());
        assert_eq!(cut(vec![1, 2, 3], 2), (vec![1, 2], true));
        assert_eq!(cut(vec![1, 2], 2), (vec![1, 2], false));
    }
}
