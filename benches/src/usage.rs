//! What a process used, as the kernel counts it.

use anyhow::{Context as _, Result};
use std::fs;
use std::time::Duration;

/// Linux counts the CPU time of processes in hundredths of a second towards user space, whatever its timer does.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time and memory of a set of processes at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time so far.
    pub cpu: Duration,
    /// Resident memory now.
    pub resident_bytes: u64,
    /// The most resident memory since the start or the last [`reset_peak`].
    pub resident_peak_bytes: u64,
}

/// The usage of all `processes` together.
pub fn of(processes: &[u32]) -> Result<Usage> {
    let mut sum = Usage::default();
    for &id in processes {
        let one = of_one(id).with_context(|| format!("reading what process {id} used"))?;
        sum.cpu += one.cpu;
        sum.resident_bytes += one.resident_bytes;
        sum.resident_peak_bytes += one.resident_peak_bytes;
    }
    Ok(sum)
}

/// Starts the peak of resident memory afresh. Without permission it goes on from the start of the process.
pub fn reset_peak(processes: &[u32]) {
    for id in processes {
        let _ = fs::write(format!("/proc/{id}/clear_refs"), "5");
    }
}

fn of_one(id: u32) -> Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    // The name in parentheses may contain anything; user and system time are the 12th and 13th field behind it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).context("a field of stat");
    let cpu = Duration::from_millis((ticks(11)? + ticks(12)?) * 1_000 / TICKS_PER_SECOND);
    Ok(Usage { cpu, resident_bytes: kib(&status, "VmRSS:")?, resident_peak_bytes: kib(&status, "VmHWM:")? })
}

fn kib(status: &str, field: &str) -> Result<u64> {
    let line =
        status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("{field} of status"))?;
    let count: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(count * 1024)
}
