//! The host's network interfaces, as Linux tells of them in `/proc/net` (proc_pid_net(5)).

use std::{fs, path::Path};

/// What went through an interface, or to and from a container, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Received.
    pub rx: u64,
    /// Sent.
    pub tx: u64,
}

/// The interface of the default route, and what went through it since it is there.
pub(super) fn uplink(proc: &Path) -> Option<(String, Traffic)> {
    let read = |name: &str| fs::read_to_string(proc.join("net").join(name)).unwrap_or_default();
    let name = default_route(&read("route")).or_else(|| default_route_v6(&read("ipv6_route")))?;
    let traffic = traffic(&read("dev"), &name)?;
    Some((name, traffic))
}

/// What went through a container's own interfaces, by the id of its first process as an engine says it. Nothing where that is
/// not the container's: it has ended, or the agent is in a container itself, where the numbers of processes are others.
pub(crate) fn of_container(proc: &Path, process: i64, container: &str) -> Option<Traffic> {
    let process = proc.join(process.to_string());
    let table = fs::read_to_string(process.join("net/dev")).ok()?;
    // Engines name the control groups of a container after it. Read last: its process was there all the time.
    let groups = fs::read_to_string(process.join("cgroup")).ok()?;
    if container.is_empty() || !groups.contains(container) {
        return None;
    }
    let mut all = Traffic::default();
    for (name, counters) in table.lines().filter_map(|line| line.split_once(':')) {
        if name.trim() != "lo" {
            let counted = counted(counters)?;
            all.rx = all.rx.saturating_add(counted.rx);
            all.tx = all.tx.saturating_add(counted.tx);
        }
    }
    Some(all)
}

/// A route that is up and goes to everywhere, of several the one of the least metric.
fn default_route(table: &str) -> Option<String> {
    /// RTF_UP (route.h).
    const UP: u16 = 0x1;
    let routes = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, _gateway, flags, _, _, metric, mask, ..] = fields[..] else {
            return None;
        };
        let is_up = u16::from_str_radix(flags, 16).is_ok_and(|flags| flags & UP != 0);
        let is_default = destination == "00000000" && mask == "00000000";
        (is_up && is_default).then_some((metric.parse::<u32>().ok()?, interface.to_owned()))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, interface)| interface)
}

/// The same for a host with IPv6 alone. The kernel's own table of last resort has such a route of the loopback, too.
fn default_route_v6(table: &str) -> Option<String> {
    let routes = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [destination, prefix, _, _, _, metric, _, _, _, interface] = fields[..] else { return None };
        let is_default =
            destination.bytes().all(|digit| digit == b'0') && prefix == "00" && interface != "lo";
        is_default.then_some((u32::from_str_radix(metric, 16).ok()?, interface.to_owned()))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, interface)| interface)
}

/// What an interface's line in `/proc/net/dev` says: after its name, eight counters of what was received and eight of what
/// was sent, bytes first.
fn traffic(table: &str, name: &str) -> Option<Traffic> {
    let counters = table.lines().find_map(|line| {
        let (interface, counters) = line.split_once(':')?;
        (interface.trim() == name).then_some(counters)
    })?;
    counted(counters)
}

fn counted(counters: &str) -> Option<Traffic> {
    let mut counters = counters.split_whitespace().map(str::parse);
    Some(Traffic { rx: counters.next()?.ok()?, tx: counters.nth(7)?.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth1\t00000000\t0101A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
";
    const DEVICES: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
  eth0:5000       7    0    0    0     0          0         0     4000      10    0    0    0     0       0          0
";

    #[test]
    fn a_container_is_counted_by_its_own_process_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            fs::create_dir_all(folder.path().join("7/net")).unwrap();
            fs::write(folder.path().join("7").join(name), text).unwrap();
        };
        let seen = || of_container(folder.path(), 7, "09ec345a");
        assert_eq!(seen(), None);
        write("net/dev", DEVICES);
        write("cgroup", "0::/system.slice/docker-09ec345a.scope\n");
        assert_eq!(seen(), Some(Traffic { rx: 5000, tx: 4000 }), "without its loopback");
        write("cgroup", "0::/init.scope\n");
        assert_eq!(seen(), None, "its number was given to another process");
        assert_eq!(of_container(folder.path(), 7, ""), None);
    }

    #[test]
    fn the_uplink_is_where_the_default_route_goes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            fs::create_dir_all(folder.path().join("net")).unwrap();
            fs::write(folder.path().join("net").join(name), text).unwrap();
        };
        assert_eq!(uplink(folder.path()), None);
        write("route", ROUTES);
        assert_eq!(uplink(folder.path()), None, "without counters");
        write("dev", DEVICES);
        assert_eq!(uplink(folder.path()), Some(("eth0".to_owned(), Traffic { rx: 5000, tx: 4000 })));
        let zeros = "0".repeat(32);
        write("route", "Iface\tDestination\n");
        write(
            "ipv6_route",
            &format!(
                "{zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200       lo
{zeros} 00 {zeros} 00 {zeros} 00000400 00000001 00000000 00000003     eth0
"
            ),
        );
        assert_eq!(uplink(folder.path()).unwrap().0, "eth0");
        write("dev", "  eth0: 1 x\n");
        assert_eq!(uplink(folder.path()), None, "what cannot be read is not known");
    }
}
