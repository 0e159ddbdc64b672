//! A decorator that makes a store fail, on command or at random from a seed.
//!
//! A write can fail before its effect (refused), after it (the answer is lost), without it although the caller cannot
//! know (torn), or have its effect after the caller was told that the outcome is unknown (late: a packet that was
//! under way for long). The store can be away, read-only, or full. Gates hold chosen requests until the test lets
//! them go, before or after their effect. Time is tokio's, so that a paused clock moves it.

use crate::port::{Key, ObjectMeta, ObjectStorage, Operation, Payload, Reason, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use frazil_base::Entropy;
use frazil_base::entropy::SeededEntropy;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What can befall one request. Reads that fail after their effect just fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `NotDone` for this reason; no effect.
    Refused(Reason),
    /// The effect, but `Unknown` is answered.
    LostAnswer,
    /// No effect, but `Unknown` is answered: the connection broke while the request was sent.
    Torn,
    /// `Unknown` is answered now; the effect comes this much later.
    Late(Duration),
    /// The request takes this much longer.
    Delayed(Duration),
}

/// How often faults strike at random: so many of 1,000 requests each.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    /// [`Fault::Refused`] with `Unavailable`.
    pub refused_permille: u64,
    /// [`Fault::LostAnswer`].
    pub lost_answer_permille: u64,
    /// [`Fault::Torn`].
    pub torn_permille: u64,
    /// [`Fault::Late`].
    pub late_permille: u64,
    /// [`Fault::Delayed`]; comes on top of the others.
    pub delayed_permille: u64,
    /// How long delays and latenesses are.
    pub delay: RangeInclusive<Duration>,
}

impl Default for FaultPlan {
    /// No faults.
    fn default() -> FaultPlan {
        FaultPlan {
            refused_permille: 0,
            lost_answer_permille: 0,
            torn_permille: 0,
            late_permille: 0,
            delayed_permille: 0,
            delay: Duration::ZERO..=Duration::from_millis(500),
        }
    }
}

/// The store's condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It works.
    #[default]
    Normal,
    /// It cannot be reached. Requests under way when it begins have an unknown outcome.
    Outage,
    /// Writes are denied.
    ReadOnly,
    /// Puts find no space; deletes work.
    Full,
}

/// Where a gate holds requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before the effect.
    Before,
    /// After the effect, before the answer.
    After,
}

/// Holds requests until it is opened or dropped.
#[derive(Debug)]
pub struct Gate {
    shared: Arc<GateState>,
}

#[derive(Debug)]
struct GateState {
    operation: Operation,
    key_part: String,
    point: Point,
    arrived: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

impl Gate {
    /// Waits until at least `count` requests have come to the gate, in all.
    pub async fn arrived(&self, count: usize) {
        let mut arrived = self.shared.arrived.subscribe();
        arrived.wait_for(|arrived| *arrived >= count).await.expect("the gate keeps the sender");
    }

    /// Lets go what is held and whatever comes later.
    pub fn open(&self) {
        self.shared.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

#[derive(Debug)]
struct Scripted {
    operation: Operation,
    key_part: String,
    fault: Fault,
}

#[derive(Debug, Default)]
struct State {
    plan: FaultPlan,
    mode: Mode,
    scripted: Vec<Scripted>,
    gates: Vec<Arc<GateState>>,
    requests: BTreeMap<Operation, u64>,
    faults: u64,
}

/// Steers a [`Faults`] while it is in use. Clones steer the same one.
#[derive(Clone, Debug)]
pub struct FaultControls {
    entropy: Arc<SeededEntropy>,
    state: Arc<Mutex<State>>,
}

impl FaultControls {
    /// Random faults from now on; `FaultPlan::default()` ends them.
    pub fn plan(&self, plan: FaultPlan) {
        self.state.lock().plan = plan;
    }

    /// The store's condition from now on.
    pub fn mode(&self, mode: Mode) {
        self.state.lock().mode = mode;
    }

    /// `fault` strikes the next request of `operation` whose key (or prefix) contains `key_part`, once.
    pub fn strike(&self, operation: Operation, key_part: &str, fault: Fault) {
        self.state.lock().scripted.push(Scripted { operation, key_part: key_part.to_owned(), fault });
    }

    /// Holds every request of `operation` whose key (or prefix) contains `key_part`.
    pub fn hold(&self, operation: Operation, key_part: &str, point: Point) -> Gate {
        let (arrived, open) = (watch::Sender::new(0), watch::Sender::new(false));
        let gate = Arc::new(GateState { operation, key_part: key_part.to_owned(), point, arrived, open });
        self.state.lock().gates.push(gate.clone());
        Gate { shared: gate }
    }

    /// Requests that came, by operation.
    pub fn requests(&self) -> BTreeMap<Operation, u64> {
        self.state.lock().requests.clone()
    }

    /// Faults that struck, delays and modes included.
    pub fn faults(&self) -> u64 {
        self.state.lock().faults
    }

    /// Which fault strikes this request, and how long it is delayed besides.
    fn decide(&self, operation: Operation, key: &str) -> (Option<Fault>, Duration) {
        let mut state = self.state.lock();
        *state.requests.entry(operation).or_default() += 1;
        let scripted = state.scripted.iter().position(|one| one.operation == operation && key.contains(&one.key_part));
        let fault = match scripted {
            Some(position) => Some(state.scripted.remove(position).fault),
            None => self.draw(&state.plan),
        };
        let (fault, delay) = match fault {
            Some(Fault::Delayed(delay)) => (None, delay),
            other if self.dice(state.plan.delayed_permille) => (other, self.delay(&state.plan)),
            other => (other, Duration::ZERO),
        };
        state.faults += u64::from(fault.is_some() || !delay.is_zero());
        (fault, delay)
    }

    fn draw(&self, plan: &FaultPlan) -> Option<Fault> {
        let kinds = [
            (plan.refused_permille, Fault::Refused(Reason::Unavailable)),
            (plan.lost_answer_permille, Fault::LostAnswer),
            (plan.torn_permille, Fault::Torn),
            (plan.late_permille, Fault::Late(self.delay(plan))),
        ];
        let mut thrown = self.entropy.bits64() % 1_000;
        kinds.into_iter().find_map(|(permille, fault)| {
            let struck = thrown < permille;
            thrown = thrown.saturating_sub(permille);
            struck.then_some(fault)
        })
    }

    fn dice(&self, permille: u64) -> bool {
        self.entropy.bits64() % 1_000 < permille
    }

    fn delay(&self, plan: &FaultPlan) -> Duration {
        let span_us = plan.delay.end().saturating_sub(*plan.delay.start()).as_micros() as u64;
        *plan.delay.start() + Duration::from_micros(self.entropy.bits64() % (span_us + 1))
    }

    /// The reason for which the store's condition refuses `operation` now.
    fn refusal(&self, operation: Operation) -> Option<(Reason, &'static str)> {
        let mut state = self.state.lock();
        let refusal = match state.mode {
            Mode::Normal => None,
            Mode::Outage => Some((Reason::Unavailable, "the store cannot be reached (made to fail)")),
            Mode::ReadOnly if operation.is_write() => Some((Reason::Denied, "the store is read-only (made to fail)")),
            Mode::Full if matches!(operation, Operation::Put | Operation::PutIfAbsent) => {
                Some((Reason::Full, "no space is left (made to fail)"))
            }
            Mode::ReadOnly | Mode::Full => None,
        };
        state.faults += u64::from(refusal.is_some());
        refusal
    }

    async fn pass_gates(&self, operation: Operation, key: &str, point: Point) {
        let matches =
            |gate: &&Arc<GateState>| gate.operation == operation && gate.point == point && key.contains(&gate.key_part);
        let gates: Vec<Arc<GateState>> = {
            let mut state = self.state.lock();
            state.gates.retain(|gate| !*gate.open.borrow());
            state.gates.iter().filter(matches).cloned().collect()
        };
        for gate in gates {
            gate.arrived.send_modify(|arrived| *arrived += 1);
            let mut open = gate.open.subscribe();
            open.wait_for(|open| *open).await.expect("the gate keeps the sender");
        }
    }
}

/// The decorator; see the module.
pub struct Faults {
    inner: Arc<dyn ObjectStorage>,
    controls: FaultControls,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faults({:?})", self.inner)
    }
}

/// A write with all that it needs, so that it can happen later.
#[derive(Clone, Debug)]
enum Write {
    Put(Key, Payload),
    PutIfAbsent(Key, Payload),
    Delete(Key),
}

impl Write {
    async fn perform(self, store: &dyn ObjectStorage) -> Result<(), StoreError> {
        match self {
            Write::Put(key, payload) => store.put(&key, payload).await,
            Write::PutIfAbsent(key, payload) => store.put_if_absent(&key, payload).await,
            Write::Delete(key) => store.delete(&key).await,
        }
    }

    fn operation(&self) -> Operation {
        match self {
            Write::Put(..) => Operation::Put,
            Write::PutIfAbsent(..) => Operation::PutIfAbsent,
            Write::Delete(..) => Operation::Delete,
        }
    }

    fn key(&self) -> &Key {
        match self {
            Write::Put(key, _) | Write::PutIfAbsent(key, _) | Write::Delete(key) => key,
        }
    }

    /// The same with a copy of the content: the caller gets its buffers back.
    fn detached(self) -> Write {
        let copy = |payload: Payload| Payload::from(Bytes::from(payload.parts().concat()));
        match self {
            Write::Put(key, payload) => Write::Put(key, copy(payload)),
            Write::PutIfAbsent(key, payload) => Write::PutIfAbsent(key, copy(payload)),
            delete => delete,
        }
    }
}

impl Faults {
    /// Makes `inner` fail as the controls say; the same seed gives the same faults to the same requests.
    pub fn new(inner: Arc<dyn ObjectStorage>, seed: u64) -> (Arc<Faults>, FaultControls) {
        let controls = FaultControls { entropy: Arc::new(SeededEntropy::new(seed)), state: Arc::default() };
        (Arc::new(Faults { inner, controls: controls.clone() }), controls)
    }

    async fn write(&self, write: Write) -> Result<(), StoreError> {
        let (operation, key) = (write.operation(), write.key().clone());
        let unknown = |cause: &str| Err(StoreError::unknown(operation, &key, Reason::Unavailable, cause));
        self.controls.pass_gates(operation, key.as_str(), Point::Before).await;
        if let Some((reason, cause)) = self.controls.refusal(operation) {
            return Err(StoreError::not_done(operation, &key, reason, cause));
        }
        let (fault, delay) = self.controls.decide(operation, key.as_str());
        pause(delay).await;
        if !delay.is_zero() && self.controls.refusal(operation).is_some() {
            return self.interrupted(write).await;
        }
        let result = match fault {
            Some(Fault::Refused(reason)) => {
                Err(StoreError::not_done(operation, &key, reason, "refused (made to fail)"))
            }
            Some(Fault::Torn) => unknown("the connection broke (made to fail)"),
            Some(Fault::Late(by)) => {
                self.perform_later(write.detached(), by);
                unknown("no answer came in time (made to fail)")
            }
            Some(Fault::LostAnswer) => match write.perform(&*self.inner).await {
                Ok(()) | Err(StoreError::AlreadyExists { .. }) => unknown("the answer was lost (made to fail)"),
                failed => failed,
            },
            Some(Fault::Delayed(_)) | None => write.perform(&*self.inner).await,
        };
        self.controls.pass_gates(operation, key.as_str(), Point::After).await;
        result
    }

    /// The store's condition changed while the request was under way: it may or may not have had its effect.
    async fn interrupted(&self, write: Write) -> Result<(), StoreError> {
        let (operation, key) = (write.operation(), write.key().clone());
        if self.controls.dice(500) {
            let _ = write.perform(&*self.inner).await;
        }
        Err(StoreError::unknown(operation, key, Reason::Unavailable, "the store went away (made to fail)"))
    }

    fn perform_later(&self, write: Write, by: Duration) {
        let inner = self.inner.clone();
        tokio::spawn(async move {
            tokio::time::sleep(by).await;
            let _ = write.perform(&*inner).await;
        });
    }

    async fn read<T>(
        &self,
        operation: Operation,
        key: &str,
        send: BoxFuture<'_, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.controls.pass_gates(operation, key, Point::Before).await;
        let refused = |(reason, cause)| Err(StoreError::not_done(operation, key, reason, cause));
        if let Some(refusal) = self.controls.refusal(operation) {
            return refused(refusal);
        }
        let (fault, delay) = self.controls.decide(operation, key);
        pause(delay).await;
        let result = match (self.controls.refusal(operation), fault) {
            (Some(refusal), _) => refused(refusal),
            (None, None) => send.await,
            (None, Some(Fault::Refused(reason))) => refused((reason, "refused (made to fail)")),
            (None, Some(_)) => refused((Reason::Unavailable, "the connection broke (made to fail)")),
        };
        self.controls.pass_gates(operation, key, Point::After).await;
        result
    }
}

async fn pause(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

#[async_trait]
impl ObjectStorage for Faults {
    async fn put(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        self.write(Write::Put(key.clone(), payload)).await
    }

    async fn put_if_absent(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        self.write(Write::PutIfAbsent(key.clone(), payload)).await
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        self.read(Operation::Get, key.as_str(), Box::pin(self.inner.get(key, range))).await
    }

    async fn list(&self, prefix: &str, start_after: Option<&Key>, most: usize) -> Result<Vec<ObjectMeta>, StoreError> {
        self.read(Operation::List, prefix, Box::pin(self.inner.list(prefix, start_after, most))).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.write(Write::Delete(key.clone())).await
    }
}

#[cfg(test)]
mod tests;
