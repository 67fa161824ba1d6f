//! Which of the runs that go on have to stop.

use almanac_schemas::Reason;

use crate::{
    run::{Interruption, RunKey},
    status::bytes,
};

use super::{Disk, taken::Taken};

/// What a run wrote at least that is stopped for it. Where all that run wrote less, others filled the disk, and to stop
/// one would lose a measurement for nothing.
const WORTH: u64 = 1 << 20;

/// A run that goes on, or is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) run: RunKey,
    /// What its artifacts take.
    pub(super) artifacts: Taken,
    /// The most bytes that they may have.
    pub(super) limit: u64,
    /// What it wrote to the file system of its container. Unknown where the engine does not say it in time.
    pub(super) container: Option<u64>,
    /// Whether it is ending already. What it takes is soon free.
    pub(super) ends: bool,
}

impl Writer {
    /// What it takes of a disk; what cannot be counted is more than anything else.
    fn takes(&self, disk: &Disk) -> (bool, u64) {
        let of = |is_there: bool, bytes: u64| if is_there { bytes } else { 0 };
        let container = self.container.unwrap_or_default();
        let is_hidden =
            disk.has_runs && self.artifacts.is_hidden || disk.has_containers && self.container.is_none();
        (is_hidden, of(disk.has_runs, self.artifacts.bytes) + of(disk.has_containers, container))
    }
}

/// The runs that have to stop: those whose artifacts are larger than they may be, and of each disk that has less than is
/// kept for its host, the one that wrote the most. While one is ending, no other is stopped, unless three quarters of what is
/// kept are gone as well: packing what one left may take half.
pub(super) fn choose(disks: &[Disk], writers: &[Writer]) -> Vec<(RunKey, Interruption)> {
    let mut stopped: Vec<(RunKey, Interruption)> = writers
        .iter()
        .filter(|writer| !writer.ends && writer.artifacts.content > writer.limit)
        .map(|writer| (writer.run, too_large(writer)))
        .collect();
    for disk in disks.iter().filter(|disk| disk.free < disk.reserve) {
        let is_stopped = |writer: &Writer| writer.ends || stopped.iter().any(|(run, _)| *run == writer.run);
        if writers.iter().any(is_stopped) && disk.free >= disk.reserve / 4 {
            continue;
        }
        let others = writers.iter().filter(|writer| !is_stopped(writer));
        let most = others.max_by_key(|writer| writer.takes(disk)).map(|writer| (writer, writer.takes(disk)));
        if let Some((writer, (is_hidden, bytes))) = most
            && (is_hidden || bytes >= WORTH)
        {
            stopped.push((writer.run, short(disk, is_hidden, bytes)));
        }
    }
    stopped
}

fn too_large(writer: &Writer) -> Interruption {
    let message = format!(
        "it was stopped when its artifacts had {} bytes of {} at most",
        writer.artifacts.content, writer.limit
    );
    Interruption { reason: Reason::ArtifactsTooLarge, message }
}

fn short(disk: &Disk, is_hidden: bool, written: u64) -> Interruption {
    let (free, reserve) = (bytes(disk.free), bytes(disk.reserve));
    let wrote = if is_hidden { "more than could be counted".to_owned() } else { bytes(written) };
    let message = format!(
        "it was stopped: {} had {free} free, {reserve} are kept for the host (`disk-reserve`), and of the runs it had written the most, {wrote}",
        disk.name()
    );
    Interruption { reason: Reason::Artifacts, message }
}

#[cfg(test)]
mod tests {
    use almanac_schemas::{RunId, RunRole};

    use super::*;

    fn key(run: i64) -> RunKey {
        let at = chrono::DateTime::from_timestamp(run, 0).unwrap();
        let id = RunId::new(&"job".parse().unwrap(), &"node".parse().unwrap(), at);
        RunKey { id, role: RunRole::Client }
    }

    fn writer(run: i64, mebibytes: u64) -> Writer {
        let artifacts = Taken { bytes: mebibytes << 20, content: mebibytes << 20, is_hidden: false };
        Writer { run: key(run), artifacts, limit: 1 << 40, container: Some(0), ends: false }
    }

    fn disk(free: u64) -> Disk {
        Disk { free, total: 32 << 30, reserve: 1 << 30, has_runs: true, has_containers: true }
    }

    fn chosen(disks: &[Disk], writers: &[Writer]) -> Vec<(RunKey, Reason)> {
        choose(disks, writers).into_iter().map(|(run, why)| (run, why.reason)).collect()
    }

    const SHORT: u64 = (1 << 30) - 1;

    #[test]
    fn the_run_that_wrote_the_most_is_stopped_and_no_other_while_it_ends() {
        let mut writers = [writer(1, 5), writer(2, 700), writer(3, 90)];
        assert_eq!(chosen(&[disk(1 << 30)], &writers), []);
        assert_eq!(chosen(&[disk(SHORT)], &writers), [(key(2), Reason::Artifacts)]);
        writers[1].ends = true;
        assert_eq!(chosen(&[disk(SHORT)], &writers), []);
        assert_eq!(chosen(&[disk(200 << 20)], &writers), [(key(3), Reason::Artifacts)], "it fills on");
    }

    #[test]
    fn who_wrote_next_to_nothing_goes_on() {
        assert_eq!(chosen(&[disk(0)], &[]), []);
        assert_eq!(chosen(&[disk(0)], &[writer(1, 0)]), []);
    }

    #[test]
    fn each_disk_is_judged_by_what_is_on_it() {
        let mut writers = [writer(1, 50), writer(2, 0)];
        writers[1].container = Some(20 << 20);
        let runs = Disk { has_containers: false, ..disk(SHORT) };
        let engine = Disk { has_runs: false, ..disk(SHORT) };
        assert_eq!(
            chosen(&[runs, Disk { free: 2 << 30, ..engine }], &writers),
            [(key(1), Reason::Artifacts)]
        );
        assert_eq!(
            chosen(&[Disk { free: 2 << 30, ..runs }, engine], &writers),
            [(key(2), Reason::Artifacts)]
        );
        let said = choose(&[engine], &writers).remove(0).1.message;
        assert!(said.contains("the engine's disk had 1023.9 MiB free, 1.0 GiB are kept"), "{said}");
        assert!(said.ends_with("written the most, 20.0 MiB"), "{said}");
    }

    #[test]
    fn what_cannot_be_counted_is_the_most() {
        let mut writers = [writer(1, 50), writer(2, 0)];
        writers[1].artifacts.is_hidden = true;
        assert_eq!(chosen(&[disk(SHORT)], &writers), [(key(2), Reason::Artifacts)]);
        // An engine that does not say how large a container is, may be busy with it.
        let mut writers = [writer(1, 50), writer(2, 0)];
        writers[1].container = None;
        assert_eq!(chosen(&[disk(SHORT)], &writers), [(key(2), Reason::Artifacts)]);
    }

    #[test]
    fn artifacts_that_are_too_large_end_their_run_whatever_is_free() {
        let limited = |mebibytes| Writer { limit: 10 << 20, ..writer(1, mebibytes) };
        assert_eq!(chosen(&[disk(2 << 30)], &[limited(10)]), []);
        assert_eq!(chosen(&[disk(2 << 30)], &[limited(11)]), [(key(1), Reason::ArtifactsTooLarge)]);
        assert_eq!(chosen(&[disk(2 << 30)], &[Writer { ends: true, ..limited(11) }]), []);
        // Its end may be enough.
        let both = [limited(11), writer(2, 50)];
        assert_eq!(chosen(&[disk(SHORT)], &both), [(key(1), Reason::ArtifactsTooLarge)]);
    }
}
