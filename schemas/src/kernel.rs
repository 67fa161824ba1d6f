//! Kernel settings: which there are, how they are written, and what a node's list of them allows.
//!
//! There are two kinds. A **sysctl** of the network is a setting of a container's own network namespace, and is gone with
//! it. A **file** below `/sys` or `/proc/sys` is a setting of the host, which everybody on it notices and somebody has to
//! put back. Files that name a program to be run, or load code, are none of either.

use std::fmt;

use thiserror::Error;

use crate::node::KernelAllowance;

/// The most bytes of a value: no file below `/sys` and `/proc/sys` takes more at once.
pub const MAX_VALUE: usize = 4096;

/// The longest name of a sysctl, and the longest path.
const MAX_NAME: usize = 256;

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// Of a container's own network namespace.
    Sysctl(Sysctl),
    /// Of the host.
    File(KernelFile),
}

/// The name of a sysctl of the network, such as `net.ipv4.tcp_congestion_control`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sysctl(String);

/// The path of a file that settings may be made by: absolute, with nothing in it that stands for another path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelFile(String);

/// Paths of such files; `*` stands for any characters of a name, and never for a `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePattern(String);

/// Why something is no kernel setting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingError {
    /// A sysctl that a container has not for itself.
    #[error(
        "expected a sysctl below `net.`: all others belong to the host, and no container has them for itself"
    )]
    NotOfTheNetwork,
    /// A name that is none.
    #[error("expected the name of a sysctl, such as `net.ipv4.tcp_congestion_control`")]
    Name,
    /// A path that is not absolute, or says the same in another way, or leads elsewhere.
    #[error("expected an absolute path without `.`, `..` and empty parts")]
    Path,
    /// A file that is not a setting.
    #[error(
        "expected a file like `/sys/module/NAME/parameters/NAME`, or below `/sys/devices`, `/proc/sys/net` or `/proc/sys/vm`: others may start programs or lead out of a container"
    )]
    NotASetting,
    /// A text without end.
    #[error("a name has at most {MAX_NAME} bytes")]
    Long,
    /// Nothing, or more than one line.
    #[error("expected a value of one line, without control characters")]
    Value,
    /// A value without end.
    #[error("a value has at most {MAX_VALUE} bytes")]
    LongValue,
}

impl Sysctl {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// When it is none, or is not of the network.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        if text.len() > MAX_NAME {
            return Err(SettingError::Long);
        }
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        if !text.contains('.') || !text.split('.').all(is_part) {
            return Err(SettingError::Name);
        }
        if !text.starts_with("net.") {
            return Err(SettingError::NotOfTheNetwork);
        }
        Ok(Self(text.to_owned()))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file by which it is made, in the network namespace that it is of.
    pub fn path(&self) -> String {
        format!("/proc/sys/{}", self.0.replace('.', "/"))
    }
}

impl KernelFile {
    /// Reads a path.
    ///
    /// # Errors
    ///
    /// When it is not written in the one way, or is not of a setting.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        if text.contains('*') {
            return Err(SettingError::NotASetting);
        }
        parts(text)?;
        Ok(Self(text.to_owned()))
    }

    /// Its path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FilePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// When it is not written in the one way, or matches what is not of a setting.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        parts(text)?;
        Ok(Self(text.to_owned()))
    }

    /// Whether a file is one of those.
    pub fn matches(&self, file: &KernelFile) -> bool {
        let (pattern, path) = (self.0.split('/'), file.0.split('/'));
        pattern.clone().count() == path.clone().count()
            && pattern.zip(path).all(|(pattern, name)| fits(pattern, name))
    }
}

/// Whether a name fits a pattern in which `*` stands for any characters.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    // The last has to be the end; each other is best found as early as can be.
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
    }
    left.ends_with(last)
}

/// The parts of a path or pattern, when all that it stands for are settings.
fn parts(text: &str) -> Result<Vec<&str>, SettingError> {
    if text.len() > MAX_NAME {
        return Err(SettingError::Long);
    }
    let parts: Vec<&str> = text.strip_prefix('/').ok_or(SettingError::Path)?.split('/').collect();
    let is_part =
        |part: &&str| !part.is_empty() && !matches!(*part, "." | "..") && !part.contains(char::is_control);
    if !parts.iter().all(is_part) {
        return Err(SettingError::Path);
    }
    let is_setting = match parts.as_slice() {
        // That module's parameter says where the kernel loads firmware from.
        ["sys", "module", module, "parameters", _] => !fits(module, "firmware_class"),
        ["sys", "devices", _, .., last] => !PROGRAMS.iter().any(|name| fits(last, name)),
        ["proc", "sys", "net" | "vm", _, ..] => true,
        _ => false,
    };
    if is_setting { Ok(parts) } else { Err(SettingError::NotASetting) }
}

/// Files of devices by which the kernel binds drivers, starts programs or loses the device.
const PROGRAMS: [&str; 5] = ["uevent", "driver_override", "remove", "rescan", "reset"];

/// Checks a value, and takes the end of its line away.
///
/// # Errors
///
/// When it is not one line of a bounded length.
pub fn value(text: &str) -> Result<&str, SettingError> {
    if text.len() > MAX_VALUE {
        return Err(SettingError::LongValue);
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    let is_wrong = |character: char| character.is_control() && character != '\t';
    if text.is_empty() || text.contains(is_wrong) { Err(SettingError::Value) } else { Ok(text) }
}

impl KernelAllowance {
    /// Whether a setting may be made. A pattern that makes no sense allows nothing.
    pub fn allows(&self, setting: &Setting) -> bool {
        match setting {
            Setting::Sysctl(sysctl) => self.sysctls.contains(&sysctl.0),
            Setting::File(file) => is_listed(&self.files, file),
        }
    }
}

/// Whether a file is one of those that patterns stand for. One that makes no sense stands for none.
pub fn is_listed(patterns: &[String], file: &KernelFile) -> bool {
    patterns.iter().any(|pattern| FilePattern::parse(pattern).is_ok_and(|pattern| pattern.matches(file)))
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl(sysctl) => write!(f, "the sysctl `{}`", sysctl.0),
            Self::File(file) => write!(f, "the file `{}`", file.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_are_those_of_the_network() {
        let sysctl = Sysctl::parse("net.ipv4.tcp_congestion_control").unwrap();
        assert_eq!(sysctl.path(), "/proc/sys/net/ipv4/tcp_congestion_control");
        assert_eq!(Sysctl::parse("kernel.core_pattern"), Err(SettingError::NotOfTheNetwork));
        assert_eq!(Sysctl::parse("network.x"), Err(SettingError::NotOfTheNetwork));
        for wrong in
            ["", "net", "net.", ".net", "net..ipv4", "net.ipv4/../../kernel", "net.\0", "net.ä", "net.a b"]
        {
            assert_eq!(Sysctl::parse(wrong), Err(SettingError::Name), "{wrong:?}");
        }
        assert_eq!(Sysctl::parse(&format!("net.{}", "x".repeat(300))), Err(SettingError::Long));
    }

    #[test]
    fn a_file_is_written_in_one_way_and_is_a_setting() {
        for good in [
            "/sys/module/tcp_bbr/parameters/cwnd_gain",
            "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
            "/proc/sys/net/core/netdev_max_backlog",
            "/proc/sys/vm/stat_interval",
        ] {
            assert!(KernelFile::parse(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "/",
            "sys/module/x/parameters/y",
            "/sys/module/x/parameters/../../../power/state",
            "/sys//module/x/parameters/y",
            "/sys/module/x/parameters/y/",
            "/sys/module/x/./parameters/y",
            "/sys/module/x/parameters/y\0",
            "/sys/module/x/parameters/y\n",
        ] {
            assert_eq!(KernelFile::parse(wrong), Err(SettingError::Path), "{wrong:?}");
        }
        for wrong in [
            "/etc/passwd",
            "/proc/sys/kernel/core_pattern",
            "/proc/sys/kernel/modprobe",
            "/proc/sys/fs/binfmt_misc/register",
            "/proc/sysrq-trigger",
            "/proc/self/mem",
            "/sys/kernel/uevent_helper",
            "/sys/kernel/debug/x",
            "/sys/power/state",
            "/sys/fs/cgroup/release_agent",
            "/sys/module/firmware_class/parameters/path",
            "/sys/module/x/uevent",
            "/sys/devices/x/uevent",
            "/sys/module/x/parameters/*",
        ] {
            assert_eq!(KernelFile::parse(wrong), Err(SettingError::NotASetting), "{wrong:?}");
        }
    }

    #[test]
    fn a_pattern_stays_within_a_folder() {
        let file = |path: &str| KernelFile::parse(path).unwrap();
        let matches = |pattern: &str, path: &str| FilePattern::parse(pattern).unwrap().matches(&file(path));
        let bbr = "/sys/module/tcp_bbr/parameters/cwnd_gain";
        assert!(matches(bbr, bbr));
        assert!(matches("/sys/module/tcp_bbr/parameters/*", bbr));
        assert!(matches("/sys/module/tcp_bbr/parameters/c*_g*n", bbr));
        assert!(matches("/sys/module/tcp_*/parameters/*", bbr));
        assert!(!matches("/sys/module/tcp_bbr/parameters/c*x", bbr));
        assert!(!matches("/sys/module/tcp_bbr/parameters/cwnd_gain*_gain", bbr));
        assert!(!matches("/sys/module/tcp_cubic/parameters/*", bbr));
        assert!(!matches("/proc/sys/net/*", "/proc/sys/net/ipv4/tcp_rmem"), "it never stands for a slash");
        for wrong in [
            "/sys/*",
            "/sys/module/*",
            "/proc/sys/*/*",
            "/sys/module/f*/parameters/path",
            "/sys/devices/x/u*t",
            "*",
        ] {
            assert!(FilePattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_allowance_allows_what_it_lists() {
        let allowance = KernelAllowance {
            sysctls: vec!["net.ipv4.tcp_congestion_control".to_owned(), "kernel.panic".to_owned()],
            files: vec!["/sys/module/tcp_bbr/parameters/*".to_owned(), "/etc/*".to_owned()],
        };
        let sysctl = |name| Setting::Sysctl(Sysctl::parse(name).unwrap());
        let file = |path| Setting::File(KernelFile::parse(path).unwrap());
        assert!(allowance.allows(&sysctl("net.ipv4.tcp_congestion_control")));
        assert!(!allowance.allows(&sysctl("net.ipv4.tcp_congestion_controls")));
        assert!(allowance.allows(&file("/sys/module/tcp_bbr/parameters/x")));
        assert!(!allowance.allows(&file("/sys/module/tcp_cubic/parameters/x")));
    }

    #[test]
    fn a_value_is_one_line() {
        assert_eq!(value("bbr"), Ok("bbr"));
        assert_eq!(value("bbr\n"), Ok("bbr"));
        assert_eq!(value("1024\t65000"), Ok("1024\t65000"));
        for wrong in ["", "\n", "a\nb", "a\n\n", "a\0", "a\r\n", "\u{1b}[2J"] {
            assert_eq!(value(wrong), Err(SettingError::Value), "{wrong:?}");
        }
        assert_eq!(value(&"x".repeat(4097)), Err(SettingError::LongValue));
        assert!(value(&"x".repeat(4096)).is_ok());
    }
}
