//! Figures of a running process from `/proc`: processor time, memory, bytes written, and waits for the disk.
//!
//! Left out: their evaluation (`bench/`).

use std::fs;
use std::io;
use std::time::Duration;

/// The figures of a process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Processor time of all its threads since its start. The resolution is the kernel's tick, usually 10 ms.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub resident: u64,
    /// Peak resident memory in bytes.
    pub peak: u64,
    /// Bytes that it caused to be sent to the disk; 0 if the system does not report them.
    pub written: u64,
}

/// Reads the figures of a process of this user.
///
/// # Errors
/// `NotFound` if there is no such process; `InvalidData` if `/proc` has an unexpected format; any other error of the system.
pub fn process_figures(pid: u32) -> io::Result<ProcessFigures> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    // Not available without permission, or on kernels without I/O accounting.
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    parse(&stat, &status, &io, rustix::param::clock_ticks_per_second())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what the system reports of the process cannot be read"))
}

/// The ids of a process's main thread and of its threads named `name`.
///
/// # Errors
/// `NotFound` if there is no such process or thread; any other error of the system.
pub fn threads(pid: u32, name: &str) -> io::Result<Vec<u32>> {
    let mut found = vec![pid];
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?;
        let is_named = fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name);
        found.extend(thread.file_name().to_str().and_then(|id| id.parse::<u32>().ok()).filter(|id| is_named && *id != pid));
    }
    Ok(found)
}

/// Whether a thread of a process is waiting for the disk (state "D").
///
/// # Errors
/// `NotFound` if there is no such process or thread; any other error of the system.
pub fn waits_for_disk(pid: u32, thread: u32) -> io::Result<bool> {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat"))?;
    Ok(after_name(&stat).is_some_and(|rest| rest.starts_with('D')))
}

fn parse(stat: &str, status: &str, io: &str, ticks: u64) -> Option<ProcessFigures> {
    // After the name, the state is field 1, and user and system time are fields 12 and 13.
    let mut times = after_name(stat)?.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let spent = times.next()?.ok()?.checked_add(times.next()?.ok()?)?;
    let kib = |name: &str| number(status, name).map(|kib| kib.saturating_mul(1024));
    Some(ProcessFigures {
        cpu: Duration::from_nanos(spent.saturating_mul(1_000_000_000).checked_div(ticks)?),
        resident: kib("VmRSS:")?,
        peak: kib("VmHWM:")?,
        written: number(io, "write_bytes:").unwrap_or(0),
    })
}

/// The part behind the program's name. The name may contain spaces and brackets.
fn after_name(stat: &str) -> Option<&str> {
    stat.rsplit_once(") ").map(|(_, rest)| rest)
}

fn number(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let stat = "77 (a b) c) S 1 77 77 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 2 0 100 1000 200 18446744073709551615";
        let status = "Name:\tbankd\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let expected = ProcessFigures { cpu: Duration::from_secs(2), resident: 1 << 20, peak: 2 << 20, written: 4096 };
        assert_eq!(parse(stat, status, "rchar: 1\nwrite_bytes: 4096\n", 100), Some(expected));
        assert_eq!(parse(stat, status, "", 100).unwrap().written, 0);
        assert_eq!(parse("77 (bankd) S 1", status, "", 100), None);
        assert_eq!(parse(stat, "Name:\tx\n", "", 100), None);
    }

    #[test]
    fn a_state_is_found_behind_any_name() {
        assert_eq!(after_name("77 (a) D) D 1"), Some("D 1"));
        assert_eq!(after_name("77"), None);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let own = std::process::id();
        let figures = process_figures(own).unwrap();
        assert!(figures.resident > 0 && figures.peak >= figures.resident);
        assert!(process_figures(u32::MAX).is_err() && waits_for_disk(own, u32::MAX).is_err());
        assert!(!waits_for_disk(own, own).unwrap() && threads(u32::MAX, "log").is_err());
        let named = std::thread::Builder::new().name("just-named".to_owned());
        let (tell, told) = std::sync::mpsc::channel();
        let waiting = named.spawn(move || told.recv()).unwrap();
        while threads(own, "just-named").unwrap().len() < 2 {
            std::thread::yield_now();
        }
        tell.send(()).unwrap();
        waiting.join().unwrap().unwrap();
        assert_eq!(threads(own, "nobody").unwrap(), [own]);
    }
}
