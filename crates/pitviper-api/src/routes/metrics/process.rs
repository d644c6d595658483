//! Memory and CPU of this process, as Linux tells them. Elsewhere these figures are missing.

use crate::exposition::Exposition;

/// Clock ticks of a second in /proc, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn write(started_us: i64, out: &mut Exposition) {
    let started = started_us as f64 / 1e6;
    out.gauge("process_start_time_seconds", "Start of the process, in seconds since the epoch", &[(&[], started)]);
    if let Some(bytes) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_bytes) {
        out.gauge("process_resident_memory_bytes", "Resident memory, in bytes", &[(&[], bytes)]);
    }
    if let Some(seconds) = std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds) {
        out.counter("process_cpu_seconds_total", "User and system CPU time, in seconds", &[(&[], seconds)]);
    }
    if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
        // One of them reads the directory.
        let open = descriptors.count().saturating_sub(1);
        out.gauge("process_open_fds", "Open file descriptors", &[(&[], open as f64)]);
    }
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// The program's name in the second field may hold spaces and parentheses, so counting starts
/// behind the last one.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t  12345 kB\nThreads:\t3\n"), Some(12_641_280.0));
        let stat = "42 (odd ) name) S 1 42 42 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 9 0 12345 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("garbage"), None);
    }
}
