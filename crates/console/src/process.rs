//! The process's own figures, read from `/proc` when they are asked for. Elsewhere than on Linux there are none.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// Linux reports CPU time in ticks of this many per second to user space, whatever the kernel's own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

/// A registry with the process's figures and the build's.
pub fn registry(version: &str) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessFigures));
    registry.register("frazil_build", "The running build", Info::new(vec![("version", version.to_string())]));
    registry
}

#[derive(Debug)]
struct ProcessFigures;

impl Collector for ProcessFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let memory = Memory::read().unwrap_or_default();
        let times = Times::read().unwrap_or_default();
        let mut gauge = |name, help, unit, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        gauge("process_resident_memory", "Memory in RAM", Some(&Unit::Bytes), memory.resident_bytes)?;
        gauge("process_resident_memory_max", "Most memory in RAM so far", Some(&Unit::Bytes), memory.peak_bytes)?;
        gauge("process_start_time", "Start, since 1970", Some(&Unit::Seconds), times.start_seconds)?;
        let cpu = ConstCounter::new(times.cpu_seconds);
        let help = "CPU time, user and system";
        cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), cpu.metric_type())?)
    }
}

#[derive(Default)]
struct Memory {
    resident_bytes: f64,
    peak_bytes: f64,
}

impl Memory {
    fn read() -> Option<Memory> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let kibibytes = |name: &str| -> Option<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().split(' ').next()?.parse().ok()
        };
        Some(Memory { resident_bytes: kibibytes("VmRSS:")? * 1024.0, peak_bytes: kibibytes("VmHWM:")? * 1024.0 })
    }
}

#[derive(Default)]
struct Times {
    cpu_seconds: f64,
    start_seconds: f64,
}

impl Times {
    fn read() -> Option<Times> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name in parentheses and may hold anything, so counting starts behind it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |index: usize| -> Option<f64> { fields.get(index)?.parse().ok() };
        Some(Times {
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
            start_seconds: boot_seconds()? + ticks(19)? / TICKS_PER_SECOND,
        })
    }
}

fn boot_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
