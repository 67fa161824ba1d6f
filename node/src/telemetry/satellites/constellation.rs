//! A constellation that does not exist, for tests and benchmarks.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

/// So many satellites at 550 km, spread evenly over the globe, 72 planes of 53 degrees.
pub(super) fn constellation(count: usize, epoch: DateTime<Utc>) -> String {
    let day = epoch.format("%y%j").to_string();
    let mut text = String::new();
    for number in 0..count {
        let (plane, slot) = (number % 72, number / 72);
        let node = f64::from(u16::try_from(plane).unwrap()) * 5.0;
        let slots = f64::from(u32::try_from(count.div_ceil(72)).unwrap());
        let anomaly = f64::from(u32::try_from(slot).unwrap()) * 360.0 / slots;
        let first =
            format!("1 {:05}U 19074A   {day}.00000000  .00000000  00000-0  00000-0 0  999", number + 1);
        let second = format!(
            "2 {:05}  53.0000 {node:8.4} 0001000   0.0000 {anomaly:8.4} 15.06400000    0",
            number + 1
        );
        writeln!(text, "SATELLITE {number}\n{}\n{}", checked(&first), checked(&second)).unwrap();
    }
    text
}

/// A line with its checksum: its digits, and 1 for each minus, modulo 10.
fn checked(line: &str) -> String {
    let sum: u32 = line.chars().map(|char| char.to_digit(10).unwrap_or(u32::from(char == '-'))).sum();
    format!("{line}{}", sum % 10)
}
