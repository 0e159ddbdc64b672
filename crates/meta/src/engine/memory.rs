//! The engine in memory: for tests, for simulation, and for `memory://`.
//!
//! One core, any number of handles: what two handles append is ordered by the core's mutex, and every handle sees it.
//! That is how several brokers share one log in one process. An exclusive core behaves like the embedded engines: a
//! new handle fences the older ones. Nothing here waits, so it is exact under paused time; delays, lost answers and
//! outages come from the decorator `testing::FaultyLog`.

use crate::engine::recent;
use crate::port::{AppendError, Appended, CommitLog, Entry, LiveBodies, ReadError};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use frazil_base::{Seq, Signal};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One handle on a log in memory. Dropping the last handle forgets the log.
#[derive(Debug)]
pub struct MemoryLog {
    core: Arc<Core>,
    /// Which handle of the core this is; an exclusive core obeys only the newest.
    number: u64,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Core {
    with_bodies: bool,
    exclusive: bool,
    contents: Mutex<Contents>,
    tail: Signal<Seq>,
}

#[derive(Debug, Default)]
struct Contents {
    records: BTreeMap<Seq, Bytes>,
    bodies: BTreeMap<Seq, Bytes>,
    tail: Seq,
    /// Records below this are gone.
    first: Seq,
    handles: u64,
}

impl MemoryLog {
    /// A new, empty log that any number of handles may append to. `with_bodies`: whether entries carry segments.
    pub fn new(with_bodies: bool) -> MemoryLog {
        MemoryLog::create(with_bodies, false)
    }

    /// A new, empty log on which a further handle fences this one.
    pub fn exclusive(with_bodies: bool) -> MemoryLog {
        MemoryLog::create(with_bodies, true)
    }

    fn create(with_bodies: bool, exclusive: bool) -> MemoryLog {
        let contents = Contents { first: Seq(1), ..Contents::default() };
        let tail = Signal::new(Seq::ZERO);
        MemoryLog::attach(Arc::new(Core { with_bodies, exclusive, contents: Mutex::new(contents), tail }))
    }

    /// A further handle on the same log, for another broker or after a restart.
    pub fn handle(&self) -> MemoryLog {
        MemoryLog::attach(self.core.clone())
    }

    fn attach(core: Arc<Core>) -> MemoryLog {
        let number = {
            let mut contents = core.contents.lock();
            contents.handles += 1;
            contents.handles
        };
        MemoryLog { core, number, closed: AtomicBool::new(false) }
    }

    fn check_may_append(&self, contents: &Contents, known: Seq) -> Result<(), AppendError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(AppendError::NotDone { cause: "the log handle is closed".into() });
        }
        if self.core.exclusive && contents.handles != self.number {
            let cause = format!("handle {} of the log was opened after handle {}", contents.handles, self.number);
            return Err(AppendError::Fenced { cause: cause.into() });
        }
        if known.next() < contents.first {
            let cause = format!("the log was trimmed below {}, the caller knows it up to {known}", contents.first);
            return Err(AppendError::NotDone { cause: cause.into() });
        }
        Ok(())
    }
}

impl Contents {
    fn push(&mut self, entry: &Entry) {
        self.tail = self.tail.next();
        self.records.insert(self.tail, entry.record.clone());
        if let Some(body) = &entry.body {
            // A copy: the caller gets its buffer back.
            let mut copy = BytesMut::with_capacity(body.len());
            body.slices().iter().for_each(|slice| copy.extend_from_slice(slice));
            self.bodies.insert(self.tail, copy.freeze());
        }
    }

    fn records_after(&self, after: Seq) -> impl Iterator<Item = (Seq, Bytes)> {
        self.records.range((Bound::Excluded(after), Bound::Unbounded)).map(|(seq, record)| (*seq, record.clone()))
    }
}

#[async_trait]
impl CommitLog for MemoryLog {
    fn carries_bodies(&self) -> bool {
        self.core.with_bodies
    }

    fn is_exclusive(&self) -> bool {
        self.core.exclusive
    }

    fn appends_in_flight(&self) -> usize {
        4
    }

    async fn append(&self, known: Seq, entries: Vec<Entry>) -> Result<Appended, AppendError> {
        assert!(!entries.is_empty(), "an append has at least one entry");
        let mut contents = self.core.contents.lock();
        self.check_may_append(&contents, known)?;
        let first = contents.tail.next();
        for entry in &entries {
            assert!(self.core.with_bodies || entry.body.is_none(), "this log carries no bodies");
            contents.push(entry);
        }
        self.core.tail.set(contents.tail);
        Ok(Appended { first, records: contents.records_after(known).collect() })
    }

    async fn read(&self, after: Seq, max_bytes: usize) -> Result<Vec<(Seq, Bytes)>, ReadError> {
        let contents = self.core.contents.lock();
        if after.next() < contents.first {
            return Err(ReadError::NotFound { seq: after.next() });
        }
        Ok(recent::up_to(max_bytes, contents.records_after(after)).collect())
    }

    async fn read_body(&self, seq: Seq, range: Range<u64>) -> Result<Bytes, ReadError> {
        let contents = self.core.contents.lock();
        let body = contents.bodies.get(&seq).ok_or(ReadError::NotFound { seq })?;
        if range.start > range.end || range.end > body.len() as u64 {
            let detail = format!("bytes {range:?} of a body of {}", body.len());
            return Err(ReadError::Corrupt { seq, detail: detail.into() });
        }
        Ok(body.slice(range.start as usize..range.end as usize))
    }

    async fn wait_beyond(&self, seq: Seq, timeout: Duration) -> Result<Seq, ReadError> {
        // Running out of time is an answer too: the tail is what it is.
        let _ = tokio::time::timeout(timeout, self.core.tail.wait_for(|tail| *tail > seq)).await;
        Ok(self.core.tail.get())
    }

    async fn tail(&self) -> Result<Seq, ReadError> {
        Ok(self.core.contents.lock().tail)
    }

    async fn trim(&self, below: Seq, live: &LiveBodies) -> Result<(), ReadError> {
        let mut contents = self.core.contents.lock();
        let below = below.min(contents.tail.next()).max(contents.first);
        contents.first = below;
        contents.records = contents.records.split_off(&below);
        contents.bodies.retain(|seq, _| *seq >= below || live.contains(*seq));
        Ok(())
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{Faults, FaultyLog, Point, Rates, Site, conformance};
    use frazil_base::entropy::SeededEntropy;

    /// A core, whose handles may pass through a decorator.
    struct MemorySite {
        log: MemoryLog,
        rates: Option<Rates>,
    }

    #[async_trait]
    impl Site for MemorySite {
        async fn open(&self, _known: Seq) -> Arc<dyn CommitLog> {
            let Some(rates) = &self.rates else { return Arc::new(self.log.handle()) };
            let faults = Faults::new(Arc::new(SeededEntropy::new(7)));
            faults.set_rates(rates.clone());
            Arc::new(FaultyLog::new(Arc::new(self.log.handle()), faults))
        }

        fn admits_second_handle(&self) -> bool {
            true
        }
    }

    async fn check(create: fn() -> MemoryLog, rates: Option<Rates>) {
        conformance(&|| Box::new(MemorySite { log: create(), rates: rates.clone() })).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_shared_log_with_bodies_conforms() {
        check(|| MemoryLog::new(true), None).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_shared_log_without_bodies_conforms() {
        check(|| MemoryLog::new(false), None).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_exclusive_log_with_bodies_conforms() {
        check(|| MemoryLog::exclusive(true), None).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_exclusive_log_without_bodies_conforms() {
        check(|| MemoryLog::exclusive(false), None).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_is_late_conforms() {
        let late = Duration::from_millis(1)..Duration::from_millis(50);
        check(|| MemoryLog::new(true), Some(Rates { before: late.clone(), after: late, ..Rates::default() })).await;
    }

    fn entry(record: &'static str) -> Vec<Entry> {
        vec![Entry { record: record.into(), body: None }]
    }

    async fn records(log: &dyn CommitLog) -> Vec<Bytes> {
        log.read(Seq::ZERO, 1000).await.expect("read").into_iter().map(|(_, record)| record).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_can_be_killed_on_either_side_of_an_append() {
        let core = MemoryLog::new(false);
        let faults = Faults::new(Arc::new(SeededEntropy::new(1)));
        for (point, record) in [(Point::Before, "before"), (Point::After, "after")] {
            let log = Arc::new(FaultyLog::new(Arc::new(core.handle()), faults.clone()));
            let hold = faults.hold(point);
            let append = tokio::spawn(async move { log.append(Seq::ZERO, entry(record)).await });
            hold.reached().await;
            append.abort();
            assert!(append.await.is_err_and(|error| error.is_cancelled()));
        }
        assert_eq!(records(&core).await, ["after"], "the one took effect, the other did not");
    }

    #[tokio::test(start_paused = true)]
    async fn lost_and_refused_appends_say_what_happened() {
        let core = MemoryLog::new(false);
        let faults = Faults::new(Arc::new(SeededEntropy::new(1)));
        let log = FaultyLog::new(Arc::new(core.handle()), faults.clone());
        faults.lose_answers(1);
        assert!(matches!(log.append(Seq::ZERO, entry("a")).await, Err(AppendError::Unknown { .. })));
        faults.lose_requests(1);
        assert!(matches!(log.append(Seq::ZERO, entry("b")).await, Err(AppendError::Unknown { .. })));
        faults.refuse(1);
        assert!(matches!(log.append(Seq::ZERO, entry("c")).await, Err(AppendError::NotDone { .. })));
        log.append(Seq::ZERO, entry("d")).await.expect("no fault is left");
        assert_eq!(records(&core).await, ["a", "d"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_waited_out() {
        let faults = Faults::new(Arc::new(SeededEntropy::new(1)));
        let log = Arc::new(FaultyLog::new(Arc::new(MemoryLog::new(false)), faults.clone()));
        let outage = faults.outage();
        let append = tokio::spawn({
            let log = log.clone();
            async move { log.append(Seq::ZERO, entry("a")).await }
        });
        assert!(matches!(log.tail().await, Err(ReadError::Unavailable { .. })));
        tokio::task::yield_now().await;
        assert!(!append.is_finished());
        drop(outage);
        assert_eq!(append.await.expect("the task ends").expect("append").first, Seq(1));
    }
}
