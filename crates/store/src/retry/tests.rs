use super::*;
use crate::memory::MemoryStorage;
use crate::port::Reason;
use crate::testing::{Fault, FaultControls, FaultPlan, Faults, Mode, conformance};
use frazil_base::clock::TokioClock;
use frazil_base::entropy::SeededEntropy;

fn seeded() -> Env {
    Env { clock: Arc::new(TokioClock::starting_at(0)), entropy: Arc::new(SeededEntropy::new(1)) }
}

/// A retrying store over a failing one over memory.
fn failing_store(policy: RetryPolicy) -> (Retry, FaultControls, MemoryStorage) {
    let memory = MemoryStorage::new(seeded());
    let (faults, controls) = Faults::new(Arc::new(memory.clone()), 7);
    (Retry::new(faults, policy, seeded()), controls, memory)
}

fn key() -> Key {
    Key::new("key")
}

fn content() -> Payload {
    Bytes::from("content").into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn retry_conforms_over_a_store_that_refuses_every_fifth_request() {
    let memory = MemoryStorage::new(Env::system());
    let (faults, controls) = Faults::new(Arc::new(memory), 1);
    controls.plan(FaultPlan { refused_permille: 200, ..FaultPlan::default() });
    let quick = RetryPolicy { first_wait: Duration::from_micros(10), ..RetryPolicy::endless() };
    conformance(|| Arc::new(Retry::new(faults.clone(), quick.clone(), Env::system()))).await;
    assert!(controls.faults() > 100, "{} faults struck", controls.faults());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out() {
    let (store, controls, _) = failing_store(RetryPolicy::endless());
    controls.mode(Mode::Outage);
    let waiting = tokio::spawn(async move { store.put(&key(), content()).await.map(|()| store) });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_finished());
    let asked = controls.faults();
    assert!((30..80).contains(&asked), "{asked} requests in a minute without a store");
    controls.mode(Mode::Normal);
    let store = waiting.await.unwrap().expect("the outage is over");
    assert_eq!(store.get(&key(), None).await.unwrap(), "content");
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded_if_asked_for() {
    let (store, controls, _) = failing_store(RetryPolicy::bounded(3));
    controls.mode(Mode::Outage);
    let error = store.get(&key(), None).await.unwrap_err();
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Unavailable, .. }), "{error:?}");
    assert_eq!(controls.faults(), 3);
}

#[tokio::test]
async fn lasting_failures_are_answered_at_once() {
    let (store, controls, _) = failing_store(RetryPolicy::endless());
    for (mode, expected) in [(Mode::ReadOnly, Reason::Denied), (Mode::Full, Reason::Full)] {
        controls.mode(mode);
        let error = store.put(&key(), content()).await.unwrap_err();
        assert!(matches!(error, StoreError::NotDone { reason, .. } if reason == expected), "{error:?}");
    }
    assert!(matches!(store.get(&key(), None).await, Err(StoreError::NotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_may_have_happened_stays_unknown() {
    let (store, controls, memory) = failing_store(RetryPolicy::bounded(2));
    controls.strike(Operation::Put, "key", Fault::LostAnswer);
    controls.strike(Operation::Put, "key", Fault::Refused(Reason::Denied));
    let error = store.put(&key(), content()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown { reason: Reason::Denied, .. }), "{error:?}");
    assert_eq!(memory.get(&key(), None).await.unwrap(), "content");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_certainly_never_happened_stays_not_done() {
    let (store, controls, _) = failing_store(RetryPolicy::bounded(2));
    controls.strike(Operation::Put, "key", Fault::Refused(Reason::Throttled));
    controls.strike(Operation::Put, "key", Fault::Refused(Reason::Unavailable));
    let error = store.put(&key(), content()).await.unwrap_err();
    assert!(matches!(error, StoreError::NotDone { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn put_if_absent_may_meet_its_own_object_after_a_lost_answer() {
    let (store, controls, memory) = failing_store(RetryPolicy::endless());
    controls.strike(Operation::PutIfAbsent, "key", Fault::LostAnswer);
    let error = store.put_if_absent(&key(), content()).await.unwrap_err();
    assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error:?}");
    assert_eq!(memory.get(&key(), None).await.unwrap(), "content");
}

#[tokio::test(start_paused = true)]
async fn a_torn_put_if_absent_is_done_by_the_second_attempt() {
    let (store, controls, _) = failing_store(RetryPolicy::endless());
    controls.strike(Operation::PutIfAbsent, "key", Fault::Torn);
    store.put_if_absent(&key(), content()).await.expect("the second attempt succeeds");
}

#[test]
fn waits_double_up_to_the_limit_and_vary() {
    let policy = RetryPolicy::endless();
    for (attempt, whole_ms) in [(1, 50), (2, 100), (3, 200), (6, 1_600), (7, 2_000), (1_000, 2_000)] {
        let whole = Duration::from_millis(whole_ms);
        assert_eq!(policy.wait(attempt, 0), whole / 2, "least wait after attempt {attempt}");
        let half_us = whole.as_micros() as u64 / 2;
        assert_eq!(policy.wait(attempt, half_us), whole, "longest wait after attempt {attempt}");
        assert!(policy.wait(attempt, u64::MAX) <= whole);
    }
}
