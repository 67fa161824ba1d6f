//! What is written as a text is refused, or comes back as it was.
#![no_main]

use std::{fmt::Display, str::FromStr};

use almanac_fuzz::now;
use almanac_schemas::{
    Duration, Instant, JobName, NodeName, PublicKey, Size, TeamName, Timezone, UserName, When,
    container::{Capability, Image, Port},
};
use libfuzzer_sys::fuzz_target;

/// Whatever is read is written so that it reads as the same.
fn round<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let written = value.to_string();
        assert!(written.parse::<T>().is_ok_and(|again| again == value), "{text:?} became {written:?}");
    }
}

fuzz_target!(|text: &str| {
    round::<Duration>(text);
    round::<Instant>(text);
    round::<Size>(text);
    round::<UserName>(text);
    round::<NodeName>(text);
    round::<JobName>(text);
    round::<TeamName>(text);
    round::<Timezone>(text);
    round::<Image>(text);
    round::<Capability>(text);
    round::<Port>(text);
    round::<PublicKey>(text);
    if let Ok(when) = text.parse::<When>() {
        when.resolve(now());
    }
    // A message about it may be of any length, and is text.
    if let Err(error) = text.parse::<Duration>() {
        let _ = error.to_string();
    }
    if let Ok(duration) = text.parse::<Duration>() {
        assert_eq!(duration.to_std().as_secs(), duration.as_secs());
        assert!(now().checked_add_signed(duration.to_delta()).is_some());
    }
});
