//! The comments of a file. What looks like one within a string is none.

use std::ops::Range;

use granit_parser::{Event, Parser};

/// A comment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Comment {
    /// The document that it is in, or that it stands before, from 0.
    pub(crate) document: usize,
    /// The bytes after the `#`.
    pub(crate) range: Range<usize>,
}

/// The comments of a text, as far as it can be parsed.
pub(crate) fn comments(text: &str) -> Vec<Comment> {
    let mut comments = Vec::new();
    let mut started = 0;
    let mut inside = false;
    let options = granit_parser::options! { emit_comments: true, max_buffered_comment_events: usize::MAX };
    for event in Parser::new_from_str_with_options(text, options) {
        let Ok((event, span)) = event else { break };
        match event {
            Event::DocumentStart(..) => (started, inside) = (started + 1, true),
            Event::DocumentEnd => inside = false,
            Event::Comment(..) => {
                let Some(range) = span.byte_range() else { break };
                comments.push(Comment {
                    document: started - usize::from(inside),
                    range: range.start + 1..range.end,
                });
            }
            _ => {}
        }
    }
    comments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_belong_to_the_document_that_they_are_in_or_before() {
        let text = "# a\n---\n# b\nx: '# no'  # c\ny: |  # d\n  # no\n# e\n---\n# f\n- [1, # g\n  2]\n...\n# h\n---\nz: 1 # i";
        let found: Vec<_> = comments(text)
            .into_iter()
            .map(|comment| (comment.document, text[comment.range].trim()))
            .collect();
        let expected =
            [(0, "a"), (0, "b"), (0, "c"), (0, "d"), (0, "e"), (1, "f"), (1, "g"), (2, "h"), (2, "i")];
        assert_eq!(found, expected);
    }

    #[test]
    fn many_comments_in_a_row_are_read() {
        let text = format!("x:\n{}- 1\n", "# a\n".repeat(1_000));
        assert_eq!(comments(&text).len(), 1_000);
    }

    #[test]
    fn line_ends_are_no_part_of_a_comment() {
        let text = "# a\r\nx: 1 # é\r\n";
        let found: Vec<_> = comments(text).into_iter().map(|comment| &text[comment.range]).collect();
        assert_eq!(found, [" a", " é"]);
    }
}
