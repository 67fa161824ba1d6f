//! Any bytes as files: what is found has a place, and the order of the files does not matter.
#![no_main]

use almanac_fuzz::{assert_placed, now, sources};
use almanac_validate::{Severity, check};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut sources = sources(input);
    let report = check(&sources, now());
    for finding in &report.findings {
        assert_placed(finding, &sources);
        assert!(!finding.message.contains(char::is_control), "{:?}", finding.message);
        assert!(finding.message.len() < 10_000, "{} bytes", finding.message.len());
    }
    assert_eq!(report.sound, report.count(Severity::Error) == 0);
    assert_eq!(report.testbed().is_some(), report.sound);
    sources.reverse();
    assert_eq!(check(&sources, now()).findings, report.findings);
});
