//! What this process takes from the machine: memory and descriptors.

/// The resources of this process; `None` where the system does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// The memory that is in RAM.
    pub resident_memory_bytes: Option<u64>,
    /// Open files, sockets and the like.
    pub open_descriptors: Option<u64>,
}

impl Process {
    /// Ask the system now.
    #[must_use]
    pub fn read() -> Self {
        Self {
            resident_memory_bytes: system::resident_memory_bytes(),
            open_descriptors: system::open_descriptors(),
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;

    /// From `status`, which tells kilobytes: `statm` tells pages, and their size differs between machines.
    pub fn resident_memory_bytes() -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// Listing the folder opens it, and that descriptor is not counted.
    pub fn open_descriptors() -> Option<u64> {
        let listed = fs::read_dir("/proc/self/fd").ok()?.count();
        u64::try_from(listed.saturating_sub(1)).ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub fn resident_memory_bytes() -> Option<u64> {
        None
    }

    pub fn open_descriptors() -> Option<u64> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_used_shows() {
        const SIZE: usize = 64 << 20;
        let before = Process::read().resident_memory_bytes.unwrap();
        let block = std::hint::black_box(vec![1_u8; SIZE]);
        let after = Process::read().resident_memory_bytes.unwrap();
        // Tests that run beside this one may give back some of theirs.
        assert!(after > before + SIZE as u64 / 2, "{before} became {after} with {} bytes more", block.len());
    }

    #[test]
    fn open_files_show() {
        let before = Process::read().open_descriptors.unwrap();
        let files: Vec<_> = (0..100).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        let after = Process::read().open_descriptors.unwrap();
        // Tests that run beside this one may open or close a few of their own.
        assert!(after.abs_diff(before + files.len() as u64) < 50, "{before} became {after}");
    }
}
