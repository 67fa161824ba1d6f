//! What the satellites of a large constellation cost a node: `cargo bench -p almanac-node --bench satellites`.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the measurement")]

#[path = "../src/telemetry/satellites/constellation.rs"]
mod constellation;

use std::sync::Arc;

use chrono::Utc;
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::{runtime::Runtime, sync::watch};

use almanac_node::telemetry::{provider::Provider, satellites::Satellites};
use almanac_proto::v1;
use almanac_schemas::node::Coordinates;

/// About as many as the largest constellation has.
const COUNT: usize = 7_000;

fn satellites(criterion: &mut Criterion) {
    let text = constellation::constellation(COUNT, Utc::now());
    let packed = zstd::bulk::compress(text.as_bytes(), 3).unwrap();
    let orbits = Arc::new(v1::Orbits { tle_zstd: packed.into(), ..v1::Orbits::default() });
    let london = Coordinates { latitude: 51.5074, longitude: -0.1278, elevation: 35.0 };
    let begin = || Satellites::new(watch::channel(orbits.clone()).1, &london);
    let runtime = Runtime::new().unwrap();
    criterion.bench_function("orbits are read, and a sample is taken", |bencher| {
        bencher.iter(|| runtime.block_on(begin().measure()).unwrap().unwrap());
    });
    let mut satellites = begin();
    criterion.bench_function("a sample is taken", |bencher| {
        bencher.iter(|| runtime.block_on(satellites.measure()).unwrap().unwrap());
    });
}

criterion_group!(benches, satellites);
criterion_main!(benches);
