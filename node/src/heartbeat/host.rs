//! How the host is: load, memory, disk, temperature, uptime. What cannot be read is not known, and no reason
//! for anything.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::task;

use almanac_proto::v1::HostMetrics;

/// How often the host is looked at. Each look costs it something, and what it says costs its link.
const INTERVAL: Duration = Duration::from_secs(60);

/// Temperatures that a running host may have, in thousandths of a degree. Sensors that are not connected say
/// something else.
const PLAUSIBLE: std::ops::RangeInclusive<i32> = -40_000..=150_000;

/// Where a host is looked at.
#[derive(Debug, Clone)]
pub struct Places {
    /// Linux's `/proc` (proc(5)).
    pub proc: PathBuf,
    /// Linux's `/sys/class` (sysfs(5)).
    pub sys_class: PathBuf,
    /// The agent's state folder.
    pub state_dir: PathBuf,
}

/// How the host is, as far as it is worth telling.
#[derive(Debug)]
pub struct Host {
    places: Places,
    looked_at: Option<Instant>,
    worth_telling: Option<HostMetrics>,
}

impl Host {
    /// A host that was not looked at yet.
    pub fn new(places: Places) -> Self {
        Self { places, looked_at: None, worth_telling: None }
    }

    /// Looks at the host if it was not looked at for a minute, and says what is worth telling of it.
    pub async fn at(&mut self, now: Instant) -> Option<HostMetrics> {
        if self.looked_at.is_none_or(|at| now - at >= INTERVAL) {
            self.looked_at = Some(now);
            let places = self.places.clone();
            // Some sensors take their time.
            let seen = task::spawn_blocking(move || places.look()).await.ok();
            if let Some(seen) = seen
                && self.worth_telling.as_ref().is_none_or(|told| is_news(told, &seen))
            {
                self.worth_telling = Some(seen);
            }
        }
        self.worth_telling
    }
}

impl Places {
    /// Looks at the host.
    pub fn look(&self) -> HostMetrics {
        HostMetrics { temperature_millidegrees: hottest(&self.sys_class), ..self.glance() }
    }

    /// Looks at what takes no time: all but its sensors.
    pub fn glance(&self) -> HostMetrics {
        let read = |name: &str| fs::read_to_string(self.proc.join(name)).unwrap_or_default();
        let memory = read("meminfo");
        let disk = rustix::fs::statvfs(&self.state_dir).ok();
        HostMetrics {
            load_hundredths: load(&read("loadavg")),
            memory_total: kibibytes(&memory, "MemTotal"),
            memory_available: kibibytes(&memory, "MemAvailable"),
            disk_total: disk.as_ref().map(|disk| disk.f_blocks.saturating_mul(disk.f_frsize)),
            // What root alone may use is of no use here.
            disk_free: disk.as_ref().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            temperature_millidegrees: None,
            uptime_seconds: read("uptime").split('.').next().and_then(|seconds| seconds.parse().ok()),
        }
    }
}

/// Whether somebody who looks at a host would call it another state. Its uptime grows by itself.
fn is_news(told: &HostMetrics, seen: &HostMetrics) -> bool {
    // By a twentieth of the whole.
    let part = |total: Option<u64>, told: Option<u64>, seen: Option<u64>| match (told, seen) {
        (Some(told), Some(seen)) => told.abs_diff(seen) > total.unwrap_or(0) / 20,
        (told, seen) => told != seen,
    };
    let load = match (told.load_hundredths, seen.load_hundredths) {
        (Some(told), Some(seen)) => told.abs_diff(seen) > 20.max(told / 5),
        (told, seen) => told != seen,
    };
    let temperature = match (told.temperature_millidegrees, seen.temperature_millidegrees) {
        (Some(told), Some(seen)) => told.abs_diff(seen) >= 2_000,
        (told, seen) => told != seen,
    };
    load || temperature
        || told.memory_total != seen.memory_total
        || told.disk_total != seen.disk_total
        || part(told.memory_total, told.memory_available, seen.memory_available)
        || part(told.disk_total, told.disk_free, seen.disk_free)
}

/// The first number of `/proc/loadavg`, such as `0.42`.
fn load(text: &str) -> Option<u32> {
    let (whole, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let (whole, hundredths): (u32, u32) = (whole.parse().ok()?, hundredths.parse().ok()?);
    whole.checked_mul(100)?.checked_add(hundredths)
}

/// A line of `/proc/meminfo`, such as `MemTotal:       24684092 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// The highest temperature of the host's zones and sensors.
fn hottest(sys_class: &Path) -> Option<i32> {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let zones = entries(sys_class.join("thermal")).map(|zone| zone.path().join("temp"));
    let sensors = entries(sys_class.join("hwmon")).flat_map(|chip| entries(chip.path())).filter(|file| {
        let name = file.file_name();
        name.to_str().is_some_and(|name| name.starts_with("temp") && name.ends_with("_input"))
    });
    zones
        .chain(sensors.map(|sensor| sensor.path()))
        .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
        .filter(|temperature| PLAUSIBLE.contains(temperature))
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn it_is_read_as_linux_writes_it_and_what_is_not_there_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let places =
            Places { proc: root.join("proc"), sys_class: root.join("class"), state_dir: root.join("none") };
        assert_eq!(places.look(), HostMetrics::default());

        write(root, "proc/loadavg", "1.05 1.43 0.97 1/107 30879\n");
        write(root, "proc/uptime", "2021.30 2709.76\n");
        write(
            root,
            "proc/meminfo",
            "MemTotal:       24684092 kB\nMemFree: 1 kB\nMemAvailable:   23902892 kB\n",
        );
        write(root, "class/thermal/thermal_zone0/temp", "45123\n");
        write(root, "class/thermal/thermal_zone1/temp", "-274000\n");
        write(root, "class/hwmon/hwmon0/temp1_input", "51000\n");
        write(root, "class/hwmon/hwmon0/temp1_crit", "99000\n");
        let seen = Places { state_dir: root.to_owned(), ..places }.look();
        assert_eq!((seen.load_hundredths, seen.uptime_seconds), (Some(105), Some(2021)));
        assert_eq!(seen.memory_total, Some(24_684_092 << 10));
        assert_eq!(seen.memory_available, Some(23_902_892 << 10));
        assert_eq!(seen.temperature_millidegrees, Some(51_000));
        assert!(seen.disk_free <= seen.disk_total && seen.disk_total > Some(0), "{seen:?}");
    }

    #[test]
    fn what_is_not_a_number_is_not_known() {
        for text in ["", "x", "1", "99999999999.00", "-1.00"] {
            assert_eq!(load(text), None, "{text}");
        }
        assert_eq!(kibibytes("MemTotal: many kB", "MemTotal"), None);
        assert_eq!(kibibytes("MemTotal: 18446744073709551615 kB", "MemTotal"), None);
    }

    #[test]
    fn small_changes_are_no_news() {
        let told = HostMetrics {
            load_hundredths: Some(100),
            memory_total: Some(1_000),
            memory_available: Some(500),
            disk_total: Some(1_000),
            disk_free: Some(500),
            temperature_millidegrees: Some(45_000),
            uptime_seconds: Some(60),
        };
        let same = HostMetrics {
            load_hundredths: Some(120),
            memory_available: Some(450),
            disk_free: Some(550),
            temperature_millidegrees: Some(46_999),
            uptime_seconds: Some(6_000),
            ..told
        };
        assert!(!is_news(&told, &same));
        for other in [
            HostMetrics { load_hundredths: Some(121), ..told },
            HostMetrics { memory_available: Some(449), ..told },
            HostMetrics { disk_free: Some(551), ..told },
            HostMetrics { disk_free: None, ..told },
            HostMetrics { temperature_millidegrees: Some(43_000), ..told },
            HostMetrics { temperature_millidegrees: None, ..told },
            HostMetrics { disk_total: Some(2_000), ..told },
        ] {
            assert!(is_news(&told, &other), "{other:?}");
        }
    }

    #[tokio::test]
    async fn it_is_looked_at_once_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let places =
            Places { proc: root.join("proc"), sys_class: root.join("class"), state_dir: root.join("none") };
        let (mut host, begun) = (Host::new(places), Instant::now());
        write(root, "proc/loadavg", "0.10 0 0\n");
        assert_eq!(host.at(begun).await.unwrap().load_hundredths, Some(10));
        write(root, "proc/loadavg", "3.00 0 0\n");
        assert_eq!(host.at(begun + INTERVAL / 2).await.unwrap().load_hundredths, Some(10));
        assert_eq!(host.at(begun + INTERVAL).await.unwrap().load_hundredths, Some(300));
    }
}
