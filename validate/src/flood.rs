//! A bound on what is found in one file, so that a file that is wrong through and through does not
//! bury the others, nor fill a log or a database.

use crate::{Finding, Severity};

/// The most findings of one file.
const MOST: usize = 1_000;

/// Findings in order, cut to so many of each file; the last one then says how many more there are.
pub(crate) fn bounded(findings: Vec<Finding>) -> Vec<Finding> {
    if findings.len() <= MOST {
        return findings;
    }
    let file = |finding: &Finding| finding.location.as_ref().map(|location| location.file.clone());
    let mut kept: Vec<Finding> = Vec::with_capacity(findings.len());
    for group in findings.chunk_by(|a, b| file(a) == file(b)) {
        if group.len() <= MOST || file(&group[0]).is_none() {
            kept.extend_from_slice(group);
            continue;
        }
        let (shown, rest) = group.split_at(MOST - 1);
        kept.extend_from_slice(shown);
        // An error among the rest must not be left out as a warning.
        let worst = rest.iter().find(|finding| finding.severity == Severity::Error).or(rest.first());
        kept.extend(worst.map(|first| Finding {
            message: format!("{} more findings in this file are not shown", rest.len()),
            related: Vec::new(),
            notes: Vec::new(),
            help: Some("correct the others first".to_owned()),
            fix: None,
            ..first.clone()
        }));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Location, Rule};

    fn finding(file: &str, line: u32, rule: Rule) -> Finding {
        Finding {
            rule,
            severity: rule.severity(),
            message: String::new(),
            location: Some(Location { line, end_line: line, ..Location::whole_file(file) }),
            related: Vec::new(),
            notes: Vec::new(),
            help: None,
            fix: None,
            new: None,
        }
    }

    #[test]
    fn each_file_is_cut_by_itself_and_an_error_stays_one() {
        let of_file = |file: &str, count: u32, rule| -> Vec<Finding> {
            (0..count).map(|line| finding(file, line, rule)).collect()
        };
        let mut findings = of_file("a", 5, Rule::Syntax);
        findings.extend(of_file("b", 1_500, Rule::SchedulePast));
        findings.push(finding("b", 2_000, Rule::Cron));
        findings.extend(of_file("c", 1_000, Rule::Syntax));
        let bounded = bounded(findings);
        assert_eq!(bounded.len(), 5 + 1_000 + 1_000);
        let last = &bounded[1_004];
        assert_eq!(
            (last.rule, last.message.as_str()),
            (Rule::Cron, "502 more findings in this file are not shown")
        );
        assert_eq!(last.location.as_ref().map(|location| location.line), Some(2_000));
    }
}
