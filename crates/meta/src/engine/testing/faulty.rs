//! A decorator that makes any engine's appends late, lost, refused or stuck, without breaking the port's contract.
//!
//! An append passes two points: `Before` it reaches the engine, and `After` it took effect but is not yet answered.
//! Each point lets the appends through in the order in which they began, whatever delays they draw, so that order and
//! overlap stay as the contract wants them. Killing a process at a point = hold that point, wait until an append has
//! reached it, drop the append's future. An outage holds `Before` and makes reads `Unavailable`.

use crate::port::{AppendError, Appended, CommitLog, Entry, LiveBodies, ReadError};
use async_trait::async_trait;
use bytes::Bytes;
use frazil_base::{Entropy, Seq};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Where an append can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The engine has not seen it.
    Before,
    /// It took effect; its caller does not know yet.
    After,
}

/// How often something happens by itself, in 1,000 appends; drawn from the entropy given to [`FaultyLog::new`].
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// It takes effect and is answered with `Unknown`.
    pub lost_answers: u64,
    /// It has no effect and is answered with `Unknown`.
    pub lost_requests: u64,
    /// It has no effect and is answered with `NotDone`.
    pub refused: u64,
    /// Delay before it reaches the engine.
    pub before: Range<Duration>,
    /// Delay before its answer.
    pub after: Range<Duration>,
}

/// Steers one or more [`FaultyLog`]s. Clones steer the same ones.
#[derive(Clone, Debug)]
pub struct Faults {
    entropy: Arc<dyn Entropy>,
    plan: Arc<Mutex<Plan>>,
    before: Arc<Gate>,
    after: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Plan {
    rates: Rates,
    lost_answers: usize,
    lost_requests: usize,
    refused: usize,
    outage: bool,
}

/// What will become of one append.
struct Fate {
    reaches: Result<(), AppendError>,
    answered: bool,
    before: Duration,
    after: Duration,
}

impl Faults {
    /// No faults yet.
    pub fn new(entropy: Arc<dyn Entropy>) -> Faults {
        Faults { entropy, plan: Arc::default(), before: Arc::default(), after: Arc::default() }
    }

    /// From now on, faults that happen by themselves.
    pub fn set_rates(&self, rates: Rates) {
        self.plan.lock().rates = rates;
    }

    /// The next `count` appends take effect but are answered with `Unknown`.
    pub fn lose_answers(&self, count: usize) {
        self.plan.lock().lost_answers += count;
    }

    /// The next `count` appends have no effect and are answered with `Unknown`.
    pub fn lose_requests(&self, count: usize) {
        self.plan.lock().lost_requests += count;
    }

    /// The next `count` appends have no effect and are answered with `NotDone`.
    pub fn refuse(&self, count: usize) {
        self.plan.lock().refused += count;
    }

    /// Holds every append that reaches `point` until the answer is released or dropped.
    pub fn hold(&self, point: Point) -> Hold {
        Hold::new(match point {
            Point::Before => self.before.clone(),
            Point::After => self.after.clone(),
        })
    }

    /// The engine cannot be reached until the answer is dropped: appends wait, reads are `Unavailable`.
    pub fn outage(&self) -> Outage {
        self.plan.lock().outage = true;
        Outage { faults: self.clone(), _hold: self.hold(Point::Before) }
    }

    fn draw(&self, per_mille: u64) -> bool {
        per_mille > 0 && self.entropy.bits64() % 1_000 < per_mille
    }

    fn delay(&self, range: &Range<Duration>) -> Duration {
        let width = range.end.saturating_sub(range.start).as_micros() as u64;
        let extra = if width == 0 { 0 } else { self.entropy.bits64() % width };
        range.start + Duration::from_micros(extra)
    }

    fn fate(&self) -> Fate {
        let mut plan = self.plan.lock();
        let refused = take(&mut plan.refused) || self.draw(plan.rates.refused);
        let lost_request = take(&mut plan.lost_requests) || self.draw(plan.rates.lost_requests);
        let lost_answer = take(&mut plan.lost_answers) || self.draw(plan.rates.lost_answers);
        let reaches = match (refused, lost_request) {
            (true, _) => Err(AppendError::NotDone { cause: "a fault put in on purpose".into() }),
            (_, true) => Err(AppendError::Unknown { cause: "the request was lost on purpose".into() }),
            _ => Ok(()),
        };
        let (before, after) = (self.delay(&plan.rates.before), self.delay(&plan.rates.after));
        Fate { reaches, answered: !lost_answer, before, after }
    }

    fn check_reachable(&self) -> Result<(), ReadError> {
        match self.plan.lock().outage {
            true => Err(ReadError::Unavailable { cause: "an outage put in on purpose".into() }),
            false => Ok(()),
        }
    }
}

fn take(count: &mut usize) -> bool {
    let taken = *count > 0;
    *count -= usize::from(taken);
    taken
}

/// A gate that counts who waits at it. Closed while anybody holds it.
#[derive(Debug)]
struct Gate {
    holders: watch::Sender<usize>,
    waiting: watch::Sender<usize>,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { holders: watch::Sender::new(0), waiting: watch::Sender::new(0) }
    }
}

impl Gate {
    async fn pass(&self) {
        if *self.holders.borrow() == 0 {
            return;
        }
        let _waiting = Waiting::at(&self.waiting);
        self.holders.subscribe().wait_for(|holders| *holders == 0).await.expect("the gate owns the sender");
    }
}

struct Waiting<'a>(&'a watch::Sender<usize>);

impl Waiting<'_> {
    fn at(count: &watch::Sender<usize>) -> Waiting<'_> {
        count.send_modify(|count| *count += 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Holds a point; dropping it lets the appends go on. Only the first append in line stands at a point.
#[derive(Debug)]
pub struct Hold(Arc<Gate>);

impl Hold {
    fn new(gate: Arc<Gate>) -> Hold {
        gate.holders.send_modify(|holders| *holders += 1);
        Hold(gate)
    }

    /// Waits until an append stands at the point.
    pub async fn reached(&self) {
        self.0.waiting.subscribe().wait_for(|waiting| *waiting > 0).await.expect("the gate owns the sender");
    }

    /// Lets the appends go on.
    pub fn release(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.holders.send_modify(|holders| *holders -= 1);
    }
}

/// An outage under way; dropping it ends it.
#[derive(Debug)]
pub struct Outage {
    faults: Faults,
    _hold: Hold,
}

impl Drop for Outage {
    fn drop(&mut self) {
        self.faults.plan.lock().outage = false;
    }
}

/// Lets holders of ascending numbers pass one after the other; one that gives up does not stop the others.
#[derive(Debug)]
struct Turnstile(watch::Sender<Turn>);

#[derive(Debug, Default)]
struct Turn {
    next: u64,
    passed_early: BTreeSet<u64>,
}

impl Turnstile {
    async fn turn(&self, number: u64) {
        self.0.subscribe().wait_for(|turn| turn.next >= number).await.expect("the turnstile owns the sender");
    }

    fn pass(&self, number: u64) {
        self.0.send_modify(|turn| {
            if number >= turn.next {
                turn.passed_early.insert(number);
            }
            while turn.passed_early.remove(&turn.next) {
                turn.next += 1;
            }
        });
    }
}

/// The appends of one handle, in the order in which they began.
#[derive(Debug)]
struct Line {
    begun: Mutex<u64>,
    before: Turnstile,
    after: Turnstile,
}

/// One append's place in the line; dropping it leaves the line.
struct Place<'a> {
    line: &'a Line,
    number: u64,
}

impl Line {
    fn new() -> Line {
        let turnstile = || Turnstile(watch::Sender::new(Turn::default()));
        Line { begun: Mutex::new(0), before: turnstile(), after: turnstile() }
    }

    fn join(&self) -> Place<'_> {
        let mut begun = self.begun.lock();
        *begun += 1;
        Place { line: self, number: *begun - 1 }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.line.before.pass(self.number);
        self.line.after.pass(self.number);
    }
}

/// An engine whose appends fail as [`Faults`] say. One per handle of the engine.
#[derive(Debug)]
pub struct FaultyLog {
    inner: Arc<dyn CommitLog>,
    faults: Faults,
    line: Line,
}

impl FaultyLog {
    /// `inner`, with `faults`.
    pub fn new(inner: Arc<dyn CommitLog>, faults: Faults) -> FaultyLog {
        FaultyLog { inner, faults, line: Line::new() }
    }
}

async fn sleep(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

#[async_trait]
impl CommitLog for FaultyLog {
    fn carries_bodies(&self) -> bool {
        self.inner.carries_bodies()
    }

    fn is_exclusive(&self) -> bool {
        self.inner.is_exclusive()
    }

    fn appends_in_flight(&self) -> usize {
        self.inner.appends_in_flight()
    }

    async fn append(&self, known: Seq, entries: Vec<Entry>) -> Result<Appended, AppendError> {
        let place = self.line.join();
        let fate = self.faults.fate();
        sleep(fate.before).await;
        self.line.before.turn(place.number).await;
        self.faults.before.pass().await;
        let outcome = match fate.reaches {
            Err(error) => Err(error),
            Ok(()) => {
                let mut append = self.inner.append(known, entries);
                // The append begins with its first poll; only then may the next one begin.
                let begun = futures::poll!(&mut append);
                self.line.before.pass(place.number);
                match begun {
                    std::task::Poll::Ready(outcome) => outcome,
                    std::task::Poll::Pending => append.await,
                }
            }
        };
        self.line.before.pass(place.number);
        sleep(fate.after).await;
        self.line.after.turn(place.number).await;
        self.faults.after.pass().await;
        match fate.answered || outcome.is_err() {
            true => outcome,
            false => Err(AppendError::Unknown { cause: "the answer was lost on purpose".into() }),
        }
    }

    async fn read(&self, after: Seq, max_bytes: usize) -> Result<Vec<(Seq, Bytes)>, ReadError> {
        self.faults.check_reachable()?;
        self.inner.read(after, max_bytes).await
    }

    async fn read_body(&self, seq: Seq, range: Range<u64>) -> Result<Bytes, ReadError> {
        self.faults.check_reachable()?;
        self.inner.read_body(seq, range).await
    }

    async fn wait_beyond(&self, seq: Seq, timeout: Duration) -> Result<Seq, ReadError> {
        self.faults.check_reachable()?;
        self.inner.wait_beyond(seq, timeout).await
    }

    async fn tail(&self) -> Result<Seq, ReadError> {
        self.faults.check_reachable()?;
        self.inner.tail().await
    }

    async fn trim(&self, below: Seq, live: &LiveBodies) -> Result<(), ReadError> {
        self.faults.check_reachable()?;
        self.inner.trim(below, live).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
