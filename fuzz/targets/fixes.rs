//! Carrying out fixes ends, leaves text, and makes nothing worse.
#![no_main]

use std::collections::BTreeMap;

use almanac_fuzz::{assert_placed, now, sources};
use almanac_validate::{Entry, Finding, Rule, Source, check, fix};
use libfuzzer_sys::fuzz_target;

/// How many findings of each rule begin in each line.
fn places(findings: &[Finding]) -> BTreeMap<(Rule, String, u32), usize> {
    let mut places = BTreeMap::new();
    for finding in findings {
        let Some(location) = &finding.location else { continue };
        *places.entry((finding.rule, location.file.clone(), location.line)).or_insert(0) += 1;
    }
    places
}

fuzz_target!(|input: &[u8]| {
    let before = sources(input);
    let report = check(&before, now());
    let fixed = fix(before.clone(), now());
    // What is left is what a check of the new files finds.
    let again: Vec<_> = fixed
        .sources
        .iter()
        .map(|source| std::sync::Arc::new(Source::read(source.path(), Entry::File(source.text().as_bytes()))))
        .collect();
    let rechecked = check(&again, now());
    if before.iter().all(|source| std::str::from_utf8(input).is_ok() && !source.text().contains('\u{feff}')) {
        assert_eq!(rechecked.findings, fixed.report.findings);
    }
    fixed.report.findings.iter().for_each(|finding| assert_placed(finding, &fixed.sources));
    if fixed.findings.is_empty() {
        assert_eq!(report.findings, fixed.report.findings);
        return;
    }
    // Nothing that can be fixed is left, but for what is in the way of another.
    let (before, after) = (places(&report.findings), places(&fixed.report.findings));
    for finding in &fixed.findings {
        let Some(location) = &finding.location else { continue };
        let key = (finding.rule, location.file.clone(), location.line);
        let count = |places: &BTreeMap<_, usize>| places.get(&key).copied().unwrap_or(0);
        if before.contains_key(&key) {
            assert!(
                count(&after) <= count(&before),
                "more of {key:?} than before: {:?}",
                fixed.report.findings
            );
        }
    }
});
