use super::*;
use crate::memory::MemoryStorage;
use crate::testing::conformance;
use frazil_base::Env;

fn failing_store(seed: u64) -> (Arc<Faults>, FaultControls, MemoryStorage) {
    let memory = MemoryStorage::new(Env::system());
    let (faults, controls) = Faults::new(Arc::new(memory.clone()), seed);
    (faults, controls, memory)
}

fn key(name: &str) -> Key {
    Key::new(name)
}

fn content() -> Payload {
    Bytes::from("content").into()
}

async fn is_there(memory: &MemoryStorage, name: &str) -> bool {
    memory.get(&key(name), None).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_faults_it_conforms() {
    let (faults, ..) = failing_store(1);
    conformance(|| faults.clone()).await;
}

#[tokio::test(start_paused = true)]
async fn each_fault_does_what_it_says() {
    let (store, controls, memory) = failing_store(1);
    for (name, fault, certain, effect) in [
        ("refused", Fault::Refused(Reason::Throttled), true, false),
        ("lost", Fault::LostAnswer, false, true),
        ("torn", Fault::Torn, false, false),
        ("late", Fault::Late(Duration::from_secs(5)), false, false),
    ] {
        controls.strike(Operation::PutIfAbsent, name, fault);
        let error = store.put_if_absent(&key(name), content()).await.expect_err(name);
        assert_eq!(matches!(error, StoreError::NotDone { .. }), certain, "{name}: {error}");
        assert_eq!(matches!(error, StoreError::Unknown { .. }), !certain, "{name}: {error}");
        assert_eq!(is_there(&memory, name).await, effect, "{name}");
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(is_there(&memory, "late").await, "a late effect comes");
    store.put_if_absent(&key("refused"), content()).await.expect("a fault strikes once");
}

#[tokio::test]
async fn a_gate_holds_a_request_before_or_after_its_effect() {
    let (store, controls, memory) = failing_store(1);
    for (name, point, effect) in [("before", Point::Before, false), ("after", Point::After, true)] {
        let gate = controls.hold(Operation::Put, name, point);
        let (held, name_of_held) = (store.clone(), key(name));
        let held = tokio::spawn(async move { held.put(&name_of_held, content()).await });
        gate.arrived(1).await;
        assert_eq!(is_there(&memory, name).await, effect, "{name}");
        store.put(&key("other"), content()).await.expect("other keys pass");
        assert!(!held.is_finished());
        gate.open();
        held.await.unwrap().expect("the gate is open");
        assert!(is_there(&memory, name).await);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_when_an_outage_begins_have_an_unknown_outcome() {
    let (store, controls, memory) = failing_store(3);
    let mut effects = 0;
    for number in 0..20 {
        let name = format!("key-{number}");
        controls.strike(Operation::Put, &name, Fault::Delayed(Duration::from_secs(1)));
        let (held, held_key) = (store.clone(), key(&name));
        let held = tokio::spawn(async move { held.put(&held_key, content()).await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        controls.mode(Mode::Outage);
        let error = held.await.unwrap().expect_err("the store went away");
        assert!(matches!(error, StoreError::Unknown { .. }), "{error}");
        effects += u32::from(is_there(&memory, &name).await);
        controls.mode(Mode::Normal);
    }
    assert!((1..20).contains(&effects), "{effects} of 20 had their effect");
}

#[tokio::test]
async fn a_full_store_still_deletes_and_a_read_only_one_still_reads() {
    let (store, controls, _) = failing_store(1);
    store.put(&key("a"), content()).await.unwrap();
    controls.mode(Mode::ReadOnly);
    assert_eq!(store.get(&key("a"), None).await.unwrap(), "content");
    assert_eq!(store.delete(&key("a")).await.unwrap_err().reason(), Some(Reason::Denied));
    controls.mode(Mode::Full);
    assert_eq!(store.put(&key("b"), content()).await.unwrap_err().reason(), Some(Reason::Full));
    store.delete(&key("a")).await.expect("deleting needs no space");
    controls.mode(Mode::Outage);
    assert_eq!(store.list("", None, 1).await.unwrap_err().reason(), Some(Reason::Unavailable));
}

async fn history(seed: u64) -> Vec<String> {
    let (store, controls, _) = failing_store(seed);
    controls.plan(FaultPlan {
        refused_permille: 100,
        lost_answer_permille: 100,
        torn_permille: 100,
        late_permille: 100,
        delayed_permille: 500,
        ..FaultPlan::default()
    });
    let start = tokio::time::Instant::now();
    let mut history = Vec::new();
    for number in 0..200 {
        let result = store.put_if_absent(&key(&format!("{}", number % 50)), content()).await;
        history.push(format!("{:?} {result:?}", start.elapsed()));
    }
    history
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_history() {
    let first = history(42).await;
    assert_eq!(first, history(42).await);
    assert_ne!(first, history(43).await);
    for outcome in ["Ok", "NotDone", "Unknown", "AlreadyExists"] {
        assert!(first.iter().any(|line| line.contains(outcome)), "{outcome} never happened");
    }
}
