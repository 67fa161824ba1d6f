//! What a path asks for. It is decoded once, here, so that nothing is another path to somebody later on.

use almanac_schemas::kernel::{KernelFile, Setting, SettingError, Sysctl};
use thiserror::Error;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Run,
    Telemetry,
    Stream,
    Trigger,
    Kernel(Setting),
}

/// Why a path asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum AskedError {
    #[error(
        "there is nothing here; there is /run, /telemetry, /telemetry/stream, /trigger, /kernel/sysctl/NAME and /kernel/file/PATH"
    )]
    Nothing,
    #[error("the path cannot be decoded: expected UTF-8, and `%` before two hexadecimal digits")]
    Encoding,
    #[error("this is no kernel setting of a run")]
    Setting(#[source] SettingError),
}

impl Asked {
    /// Reads the path of a request, as it was sent.
    pub(super) fn read(path: &str) -> Result<Self, AskedError> {
        match path {
            "/run" => return Ok(Self::Run),
            "/telemetry" => return Ok(Self::Telemetry),
            "/telemetry/stream" => return Ok(Self::Stream),
            "/trigger" => return Ok(Self::Trigger),
            _ => {}
        }
        let decoded = decode(path).ok_or(AskedError::Encoding)?;
        let setting = if let Some(name) = decoded.strip_prefix("/kernel/sysctl/") {
            Sysctl::parse(name).map(Setting::Sysctl)
        } else if let Some(path) = decoded.strip_prefix("/kernel/file").filter(|path| path.starts_with('/')) {
            KernelFile::parse(path).map(Setting::File)
        } else {
            return Err(AskedError::Nothing);
        };
        setting.map(Self::Kernel).map_err(AskedError::Setting)
    }
}

/// Decodes `%41` and the like (RFC 3986, section 2.1), once.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        // A sign would do for the parser, too.
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_asks_for_one_thing() {
        let file = |path: &str| Asked::Kernel(Setting::File(KernelFile::parse(path).unwrap()));
        let sysctl = |name: &str| Asked::Kernel(Setting::Sysctl(Sysctl::parse(name).unwrap()));
        for (path, asked) in [
            ("/run", Asked::Run),
            ("/telemetry/stream", Asked::Stream),
            ("/kernel/sysctl/net.ipv4.tcp_rmem", sysctl("net.ipv4.tcp_rmem")),
            ("/kernel/sysctl/net%2eipv4.tcp_rmem", sysctl("net.ipv4.tcp_rmem")),
            ("/kernel/file/proc/sys/vm/swappiness", file("/proc/sys/vm/swappiness")),
            ("/kernel/file/proc/sys%2Fvm/swappiness", file("/proc/sys/vm/swappiness")),
        ] {
            assert_eq!(Asked::read(path), Ok(asked), "{path}");
        }
    }

    #[test]
    fn nothing_is_another_path_to_anybody() {
        for path in [
            "/kernel/file/proc/sys/vm/../kernel/core_pattern",
            "/kernel/file/proc/sys/vm/%2e%2e/kernel/core_pattern",
            "/kernel/file/proc/sys/vm/.%2E/kernel/core_pattern",
            "/kernel/file//proc/sys/vm/swappiness",
            "/kernel/file/proc/sys//vm/swappiness",
            "/kernel/file/proc/sys/%2fvm/swappiness",
            "/kernel/file/proc/sys/vm/./swappiness",
            "/kernel/file/proc/sys/vm/swappiness%00",
            "/kernel/file/proc/sys/vm/swappiness%0a",
            // Encoded twice, it is a strange name and nothing else.
            "/kernel/file/proc/sys/kernel/%252e%252e",
            "/kernel/file/proc/sys/kernel/core_pattern",
            "/kernel/file/etc/passwd",
            "/kernel/file/",
            "/kernel/sysctl/",
            "/kernel/sysctl/kernel.core_pattern",
            "/kernel/sysctl/net/../kernel/core_pattern",
            "/kernel/sysctl/net.%2e%2e.kernel",
        ] {
            assert!(
                matches!(Asked::read(path), Err(AskedError::Setting(_))),
                "{path}: {:?}",
                Asked::read(path)
            );
        }
        for path in [
            "/",
            "",
            "/runs",
            "/run/",
            "//run",
            "/kernel",
            "/kernel/files/x",
            "/kernel/filex",
            "/kernel/exec/sh",
        ] {
            assert_eq!(Asked::read(path), Err(AskedError::Nothing), "{path}");
        }
        for path in
            ["/kernel/file/%", "/kernel/file/%2", "/kernel/file/%zz", "/kernel/file/%+1", "/kernel/file/%ff"]
        {
            assert_eq!(Asked::read(path), Err(AskedError::Encoding), "{path}");
        }
    }
}
