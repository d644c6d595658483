//! The limits of the control group this process is in, of either version.
//!
//! A limit counts wherever it is between the process's own group and the root, so all of them are read
//! and the least counts. Source: Linux, `admin-guide/cgroup-v2.rst` and `cgroup-v1/`.

use std::fs;
use std::path::{Path, PathBuf};

/// From here on a version 1 limit means none.
const UNLIMITED: u64 = 1 << 60;
/// Groups between a process's own and the root that are looked at.
const MAX_DEPTH: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Folders of a controller, from the process's own group to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Groups {
    version: Version,
    folders: Vec<PathBuf>,
}

/// Where the limits of this process are written.
#[derive(Debug, Clone, Default)]
pub(super) struct Cgroup {
    memory: Option<Groups>,
    cpu: Option<Groups>,
}

/// Memory of the group with the least limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryLimit {
    pub(super) limit_bytes: u64,
    /// What all processes of that group use.
    pub(super) used_bytes: Option<u64>,
}

impl Cgroup {
    /// Finds the groups of this process. `root` is `/` but in tests.
    pub(super) fn locate(root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let (memberships, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
        let find = |controller: &str| {
            memberships.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
                let version = match controllers {
                    "" => Version::Two,
                    names if names.split(',').any(|name| name == controller) => Version::One,
                    _ => return None,
                };
                let (mount_root, mount_point) = mount(&mounts, version, controller)?;
                let folders = folders(root, &mount_root, &mount_point, path);
                // In a hybrid hierarchy version 2 may be mounted without controllers.
                let probe = match (version, controller) {
                    (Version::One, _) => return Some(Groups { version, folders }),
                    (Version::Two, "memory") => "memory.max",
                    (Version::Two, _) => "cpu.max",
                };
                folders.iter().any(|folder| folder.join(probe).exists()).then_some(Groups { version, folders })
            })
        };
        Self { memory: find("memory"), cpu: find("cpu") }
    }

    /// The memory limit; `None` where there is none.
    pub(super) fn memory(&self) -> Option<MemoryLimit> {
        let groups = self.memory.as_ref()?;
        let (limit_file, usage_file) = match groups.version {
            Version::One => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            Version::Two => ("memory.max", "memory.current"),
        };
        let limits = groups.folders.iter().filter_map(|folder| {
            let limit = number(&folder.join(limit_file)).filter(|limit| *limit < UNLIMITED)?;
            Some((limit, folder))
        });
        let (limit_bytes, folder) = limits.min_by_key(|(limit, _)| *limit)?;
        Some(MemoryLimit { limit_bytes, used_bytes: number(&folder.join(usage_file)) })
    }

    /// Processors' worth of time that may be used; `None` where there is no limit.
    pub(super) fn cpus(&self) -> Option<f64> {
        let groups = self.cpu.as_ref()?;
        let limits = groups.folders.iter().filter_map(|folder| match groups.version {
            Version::One => {
                let quota = number(&folder.join("cpu.cfs_quota_us"))?;
                Some(quota as f64 / number(&folder.join("cpu.cfs_period_us")).filter(|period| *period > 0)? as f64)
            }
            Version::Two => {
                let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
                let mut words = text.split_ascii_whitespace();
                let (quota, period) = (words.next()?.parse::<f64>().ok()?, words.next()?.parse::<f64>().ok()?);
                (period > 0.0).then_some(quota / period)
            }
        });
        limits.filter(|limit| *limit > 0.0).reduce(f64::min)
    }

    /// For how long the group was kept from running by its CPU limit so far, in nanoseconds.
    pub(super) fn throttled_ns(&self) -> Option<u64> {
        let groups = self.cpu.as_ref()?;
        let text = fs::read_to_string(groups.folders.first()?.join("cpu.stat")).ok()?;
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<u64>().ok())
        };
        match groups.version {
            Version::One => field("throttled_time"),
            Version::Two => field("throttled_usec").map(|micros| micros * 1_000),
        }
    }
}

/// A file with a number in it. "max" and -1, which mean no limit, are none.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The root within the hierarchy, and the point in the file system, of the mount of a controller.
fn mount(mounts: &str, version: Version, controller: &str) -> Option<(String, String)> {
    mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let mut head = head.split(' ');
        let (root, point) = (head.nth(3)?, head.next()?);
        let mut tail = tail.split(' ');
        let is_it = match (tail.next()?, version) {
            ("cgroup2", Version::Two) => true,
            ("cgroup", Version::One) => tail.nth(1)?.split(',').any(|option| option == controller),
            _ => false,
        };
        is_it.then(|| (root.to_owned(), point.to_owned()))
    })
}

/// The folders from the process's own group to the mount's root.
fn folders(root: &Path, mount_root: &str, mount_point: &str, path: &str) -> Vec<PathBuf> {
    let base = root.join(mount_point.trim_start_matches('/'));
    // Seen from inside a container, the path may be one of the machine that is not mounted here; the
    // container's own group is then the mount's root.
    let own = if mount_root == "/" { Some(path) } else { path.strip_prefix(mount_root) };
    let own = own.unwrap_or_default().trim_matches('/');
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut relative = Path::new(own);
    if own.split('/').all(|part| part != "..") {
        while relative != Path::new("") && folders.len() < MAX_DEPTH {
            folders.push(base.join(relative));
            relative = relative.parent().unwrap_or(Path::new(""));
        }
    }
    folders.retain(|folder| folder.is_dir());
    folders.push(base);
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const V2: &str = "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn version_2_takes_the_least_limit_on_the_way_to_the_root() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/kubepods/pod1/app\n"),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/kubepods/pod1/app/memory.max", "max\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.max", "1000000\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.current", "400000\n"),
            ("sys/fs/cgroup/kubepods/memory.max", "9000000\n"),
            ("sys/fs/cgroup/kubepods/pod1/app/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/kubepods/pod1/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/kubepods/pod1/app/cpu.stat", "usage_usec 5\nnr_throttled 2\nthrottled_usec 77\n"),
        ]);
        let group = Cgroup::locate(root.path());
        assert_eq!(group.memory(), Some(MemoryLimit { limit_bytes: 1_000_000, used_bytes: Some(400_000) }));
        assert_eq!(group.cpus(), Some(1.5));
        assert_eq!(group.throttled_ns(), Some(77_000));
    }

    #[test]
    fn version_2_in_a_namespace_of_its_own() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/memory.max", "2000\n"),
            ("sys/fs/cgroup/memory.current", "500\n"),
            ("sys/fs/cgroup/cpu.max", "max 100000\n"),
        ]);
        let group = Cgroup::locate(root.path());
        assert_eq!(group.memory().unwrap().limit_bytes, 2_000);
        assert_eq!(group.cpus(), None);
    }

    #[test]
    fn version_1_with_the_paths_of_the_machine() {
        let mounts = "30 1 0:9 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
                      31 1 0:9 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n";
        let root = machine(&[
            ("proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n"),
            ("proc/self/mountinfo", mounts),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1024\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.stat", "nr_periods 9\nthrottled_time 12345\n"),
        ]);
        let group = Cgroup::locate(root.path());
        assert_eq!(group.memory().unwrap(), MemoryLimit { limit_bytes: 536_870_912, used_bytes: Some(1_024) });
        assert_eq!(group.cpus(), Some(0.5));
        assert_eq!(group.throttled_ns(), Some(12_345));
    }

    #[test]
    fn no_limit_is_none() {
        let mounts = "30 1 0:9 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
                      31 1 0:9 / /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n";
        let root = machine(&[
            ("proc/self/cgroup", "5:memory:/\n4:cpu:/\n"),
            ("proc/self/mountinfo", mounts),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        let group = Cgroup::locate(root.path());
        assert_eq!((group.memory(), group.cpus()), (None, None));
        assert_eq!(Cgroup::locate(Path::new("/nowhere")).memory(), None);
    }
}
