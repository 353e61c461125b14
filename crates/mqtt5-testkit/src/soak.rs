//! What the test process holds: to find what was left behind.

use std::fs;

/// The number of open file descriptors of this process.
///
/// # Panics
///
/// Where there is no `/proc`.
pub fn open_file_descriptors() -> usize {
    // One of them is the directory that is being read.
    entries("/proc/self/fd") - 1
}

/// The number of threads of this process.
///
/// The system may count a thread for a moment after it was joined: look with [`wait_until`](crate::wait_until).
///
/// # Panics
///
/// Where there is no `/proc`.
pub fn thread_count() -> usize {
    entries("/proc/self/task")
}

/// The memory of this process that is in RAM, in bytes.
///
/// # Panics
///
/// Where there is no `/proc`.
pub fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has /proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes
        .and_then(|n| n.parse::<usize>().ok())
        .expect("VmRSS is a number of kB")
        * 1024
}

fn entries(directory: &str) -> usize {
    let entries = fs::read_dir(directory);
    entries
        .unwrap_or_else(|error| panic!("{directory}: {error}"))
        .count()
}
