//! The only door to the clock.

use std::fmt::Debug;
use std::time::Duration;

/// Wall time for record timestamps, boot time for measuring pauses.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since 1970-01-01T00:00:00Z. May jump.
    fn now_ms(&self) -> i64;

    /// Time since some fixed moment; never goes back, and goes on while the machine sleeps.
    fn since_boot(&self) -> Duration;
}

/// The machine's clocks: `CLOCK_REALTIME` and `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
    }

    fn since_boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// Follows tokio's clock, so that paused time in a test moves wall and boot time too.
#[cfg(feature = "testing")]
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: tokio::time::Instant,
    start_ms: i64,
}

#[cfg(feature = "testing")]
impl TokioClock {
    /// A clock that shows `start_ms` now.
    pub fn starting_at(start_ms: i64) -> TokioClock {
        TokioClock { start: tokio::time::Instant::now(), start_ms }
    }
}

#[cfg(feature = "testing")]
impl Clock for TokioClock {
    fn now_ms(&self) -> i64 {
        self.start_ms + self.start.elapsed().as_millis() as i64
    }

    fn since_boot(&self) -> Duration {
        self.start.elapsed()
    }
}
