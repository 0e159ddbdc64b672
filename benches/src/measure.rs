//! Counting what happens between two moments.

use crate::usage::{self, Usage};
use anyhow::Result;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Counts of the measured time; what happens before and after it is not counted.
#[derive(Debug)]
pub struct Counts {
    /// Whether now is the measured time.
    pub measuring: bool,
    /// Answers without an error.
    pub answers: u64,
    /// Bytes of record batches in them.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
    /// Answers with an error, by code; counted outside of the measured time, too.
    pub errors: BTreeMap<i16, u64>,
    /// From when a request should have been sent to its answer, in microseconds.
    pub latency_us: Histogram<u64>,
}

impl Default for Counts {
    fn default() -> Counts {
        let latency_us = Histogram::new_with_bounds(1, 600_000_000, 3).expect("valid bounds");
        Counts { measuring: false, answers: 0, bytes: 0, records: 0, errors: BTreeMap::new(), latency_us }
    }
}

impl Counts {
    /// Counts one answer that was `due` to be asked for then.
    pub fn answer(&mut self, due: Instant, bytes: u64, records: u64) {
        if self.measuring {
            self.answers += 1;
            self.bytes += bytes;
            self.records += records;
            self.latency_us.saturating_record(due.elapsed().as_micros() as u64);
        }
    }

    /// Counts one refusal.
    pub fn refusal(&mut self, code: i16) {
        *self.errors.entry(code).or_default() += 1;
    }
}

/// What one run gave.
#[derive(Debug)]
pub struct Figures {
    /// Measured time.
    pub elapsed: Duration,
    /// What was counted in it.
    pub counts: Counts,
    /// What the servers used in it; peak memory since shortly before the run.
    pub server: Usage,
}

impl Figures {
    /// Record batches, in MiB a second.
    pub fn mib_per_second(&self) -> f64 {
        self.counts.bytes as f64 / f64::from(1 << 20) / self.elapsed.as_secs_f64()
    }

    /// Requests answered a second.
    pub fn answers_per_second(&self) -> f64 {
        self.counts.answers as f64 / self.elapsed.as_secs_f64()
    }

    /// CPU seconds of the servers for each GiB.
    pub fn cpu_per_gib(&self) -> f64 {
        self.server.cpu.as_secs_f64() / gib(self.counts.bytes)
    }

    /// Latency at `quantile`, in milliseconds.
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        self.counts.latency_us.value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:8.1} MiB/s {:9.0} requests/s  p50 {:7.2}  p99 {:7.2}  p99.9 {:7.2} ms  server {:5.2} CPU s/GiB, {:5.0} MiB peak",
            self.mib_per_second(),
            self.answers_per_second(),
            self.latency_ms(0.5),
            self.latency_ms(0.99),
            self.latency_ms(0.999),
            self.cpu_per_gib(),
            self.server.resident_peak_bytes as f64 / f64::from(1 << 20),
        );
        if !self.counts.errors.is_empty() {
            line.push_str(&format!("  ERRORS {:?}", self.counts.errors));
        }
        line
    }
}

/// Bytes as GiB.
pub fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// Lets load run for `warm_up`, measures for `duration`, and returns what was counted and used. `counts` is shared with
/// the load, which runs on other tasks.
pub async fn measure(
    counts: &std::rc::Rc<std::cell::RefCell<Counts>>,
    processes: &[u32],
    warm_up: Duration,
    duration: Duration,
) -> Result<Figures> {
    tokio::time::sleep(warm_up).await;
    let before = usage::of(processes)?;
    let began = Instant::now();
    counts.borrow_mut().measuring = true;
    tokio::time::sleep(duration).await;
    let counts = std::mem::take(&mut *counts.borrow_mut());
    let elapsed = began.elapsed();
    let mut server = usage::of(processes)?;
    server.cpu -= before.cpu;
    Ok(Figures { elapsed, counts, server })
}
