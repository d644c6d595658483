//! What `/proc` says of this process.

use std::fs;
use std::path::Path;

/// A reading of `/proc/self`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reading {
    pub(super) virtual_bytes: u64,
    pub(super) resident_bytes: u64,
    pub(super) threads: u64,
    /// When the process began, in clock ticks since the machine did.
    pub(super) start_ticks: u64,
}

/// Reads memory, threads and start; `None` where there is no such `/proc`.
pub(super) fn read(proc: &Path, page_size: u64) -> Option<Reading> {
    let statm = fs::read_to_string(proc.join("statm")).ok()?;
    let mut pages = statm.split_ascii_whitespace().map_while(|word| word.parse::<u64>().ok());
    let (virtual_pages, resident_pages) = (pages.next()?, pages.next()?);
    let stat = fs::read_to_string(proc.join("stat")).ok()?;
    // The program's name is in parentheses, and may have any character in it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let threads = fields.nth(17)?.parse().ok()?;
    let start_ticks = fields.nth(1)?.parse().ok()?;
    Some(Reading {
        virtual_bytes: virtual_pages * page_size,
        resident_bytes: resident_pages * page_size,
        threads,
        start_ticks,
    })
}

/// How many file descriptors are open.
pub(super) fn open_files(proc: &Path) -> Option<u64> {
    let folder = proc.join("fd");
    // Linux tells the number as the folder's size since 6.2; before, it was zero.
    match fs::metadata(&folder).ok()?.len() {
        0 => Some((fs::read_dir(&folder).ok()?.count() as u64).saturating_sub(1)),
        size => Some(size),
    }
}

/// Processors this process may run on.
pub(super) fn allowed_cpus(proc: &Path) -> Option<u32> {
    let status = fs::read_to_string(proc.join("status")).ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed:"))?;
    let bits = mask.trim().split(',').map_while(|word| u32::from_str_radix(word, 16).ok()).map(u32::count_ones).sum();
    (bits > 0).then_some(bits)
}

/// Seconds since the machine began.
pub(super) fn machine_uptime(proc_root: &Path) -> Option<f64> {
    fs::read_to_string(proc_root.join("uptime")).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// All memory of the machine, in bytes.
pub(super) fn machine_memory(proc_root: &Path) -> Option<u64> {
    let text = fs::read_to_string(proc_root.join("meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs_do_not_confuse() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("statm"), "1000 250 30 1 0 90 0\n").unwrap();
        let fields: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
        fs::write(folder.path().join("stat"), format!("7 (a) b (c)) S {}\n", fields.join(" "))).unwrap();
        let reading = read(folder.path(), 4096).unwrap();
        assert_eq!(
            reading,
            Reading { virtual_bytes: 4_096_000, resident_bytes: 1_024_000, threads: 20, start_ticks: 22 }
        );
    }

    #[test]
    fn masks_of_many_words_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("status"), "Name:\tx\nCpus_allowed:\t3,0000ffff,ffffffff\n").unwrap();
        assert_eq!(allowed_cpus(folder.path()), Some(50));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_can_be_read() {
        let reading = read(Path::new("/proc/self"), 4096).unwrap();
        assert!(reading.resident_bytes > 100_000 && reading.virtual_bytes > reading.resident_bytes);
        assert!(reading.threads >= 1 && reading.start_ticks > 0);
        assert!(open_files(Path::new("/proc/self")).unwrap() >= 3);
        assert!(machine_memory(Path::new("/proc")).unwrap() > 1 << 20);
    }
}
