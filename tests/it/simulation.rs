//! The whole data path in virtual time, from a seed: see `frazil_tests::simulation`.

use frazil_meta::state::Mutation;
use frazil_tests::simulation::{Engine, Fault, Plan, Report, run};

const ENGINES: [Engine; 3] = [Engine::Object, Engine::Shared, Engine::SharedWithBodies];

fn plan(engine: Engine, seed: u64) -> Plan {
    Plan {
        seed,
        engine,
        producers: 6,
        batches: 200,
        streams: 0,
        transactions: 0,
        pace_ms: 400,
        faults: &[Fault::Outages, Fault::Kills, Fault::Pauses, Fault::Clocks],
        rounds: 40,
        mutation: None,
    }
}

/// Transactional producers, copiers and consumers, two of each, beside plain producers.
fn streams(engine: Engine, seed: u64) -> Plan {
    Plan {
        producers: 2,
        batches: 50,
        streams: 2,
        transactions: 60,
        faults: Fault::ALL,
        rounds: 60,
        ..plan(engine, seed)
    }
}

/// Coordinators need longer for their mistakes, and more members.
fn with_time(plan: Plan) -> Plan {
    if plan.faults != [Fault::Coordinators] {
        return plan;
    }
    Plan { streams: 4, transactions: 40, pace_ms: 15_000, rounds: 8, ..plan }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Seeds of a test: the one in `FRAZIL_SEED`, or the first `FRAZIL_SEEDS`, or `count`.
fn seeds(count: u64) -> std::ops::RangeInclusive<u64> {
    match number("FRAZIL_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("FRAZIL_SEEDS").unwrap_or(count),
    }
}

fn assert_kept(plan: Plan, report: &Report) {
    if report.violations.is_empty() {
        return;
    }
    let found: String = report.violations.iter().take(10).map(|violation| format!("  {violation}\n")).collect();
    let place = std::env::temp_dir().join(format!("frazil-history-{:?}-{}.txt", plan.engine, plan.seed));
    let kept = std::fs::write(&place, report.history.text()).map(|()| place.display().to_string());
    panic!(
        "{:?} and {:?} with seed {}: {} violations, first\n{found}history: {kept:?}",
        plan.engine,
        plan.faults,
        plan.seed,
        report.violations.len()
    );
}

#[test]
fn no_seed_breaks_a_promise() {
    for engine in ENGINES {
        for seed in seeds(20) {
            let plan = plan(engine, seed);
            let report = run(plan);
            assert!(report.history.len() > 1_500, "{engine:?} with seed {seed} did too little to mean anything");
            assert_kept(plan, &report);
        }
    }
}

#[test]
fn the_same_seed_twice_gives_the_same_history() {
    for engine in ENGINES {
        let (first, second) = (run(plan(engine, 7)), run(plan(engine, 7)));
        let (first, second) = (first.history.text(), second.history.text());
        let differing = first.lines().zip(second.lines()).find(|(first, second)| first != second);
        assert!(first == second, "{engine:?} is not replayable: {differing:?}");
        assert!(first != run(plan(engine, 8)).history.text(), "the seed decides nothing");
    }
}

#[test]
fn without_chaos_every_batch_is_acknowledged_at_once() {
    for engine in ENGINES {
        let plan = Plan { faults: &[], ..plan(engine, 1) };
        let report = run(plan);
        assert_kept(plan, &report);
        let failed =
            report.history.events().filter(|event| matches!(event, frazil_tests::simulation::Event::Failed { .. }));
        assert_eq!(failed.count(), 0, "nothing failed, so no attempt may");
    }
}

fn name(faults: &[Fault]) -> String {
    match faults {
        [] => "None".to_owned(),
        [fault] => format!("{fault:?}"),
        _ => "All".to_owned(),
    }
}

/// Each class of faults by itself, all together, and none; or only `FRAZIL_FAULTS`, such as `Kills` or `All`. With
/// `FRAZIL_OPERATIONS` from `FRAZIL_SEED` on, until each class has seen as many requests.
#[test]
fn no_class_of_faults_breaks_a_transaction_or_a_group() {
    let (wanted, only) = (number("FRAZIL_OPERATIONS"), std::env::var("FRAZIL_FAULTS").ok());
    let alone = Fault::ALL.iter().map(std::slice::from_ref);
    for faults in alone.chain([Fault::ALL, &[]]) {
        let class = name(faults);
        if only.as_ref().is_some_and(|only| *only != class) {
            continue;
        }
        let began = std::time::Instant::now();
        let seeds = if wanted.is_some() { number("FRAZIL_SEED").unwrap_or(1)..=u64::MAX } else { seeds(3) };
        let (first, mut last, mut operations) = (*seeds.start(), 0, 0);
        for seed in seeds {
            let engine = ENGINES[seed as usize % 3];
            let plan = with_time(Plan { faults, ..streams(engine, seed) });
            let report = run(plan);
            assert_kept(plan, &report);
            (last, operations) = (seed, operations + report.calls);
            if wanted.is_some_and(|wanted| operations >= wanted) {
                break;
            }
        }
        println!("{class}: seeds {first} to {last}, {operations} requests, no anomaly, {:.0?}", began.elapsed());
        assert!(operations > 500 * (last + 1 - first), "{class}: {operations} requests mean nothing");
    }
}

#[test]
fn the_same_seed_twice_gives_the_same_transactions_and_groups() {
    for engine in ENGINES {
        let (first, second) = (run(streams(engine, 7)), run(streams(engine, 7)));
        let (first, second) = (first.history.text(), second.history.text());
        let differing = first.lines().zip(second.lines()).find(|(first, second)| first != second);
        assert!(first == second, "{engine:?} is not replayable: {differing:?}");
    }
}

/// A checker that finds nothing proves nothing: each rule broken on purpose must be found by some seed.
#[test]
fn a_rule_broken_on_purpose_is_found() {
    let rules = [
        (Mutation::SkipDuplicateCheck, Engine::Object),
        (Mutation::ReuseOffset, Engine::Object),
        (Mutation::MisplaceExtent, Engine::Shared),
        (Mutation::AcceptSequenceGap, Engine::Shared),
        (Mutation::ForgetLiveBody, Engine::SharedWithBodies),
    ];
    for (mutation, engine) in rules {
        let found = (1..=30).find(|seed| is_found(Plan { mutation: Some(mutation), ..plan(engine, *seed) }));
        assert!(found.is_some(), "{mutation:?} on {engine:?} goes unnoticed");
    }
}

/// A broken rule may also trip an assertion of the product; that is a finding too.
fn is_found(broken: Plan) -> bool {
    let found = std::panic::catch_unwind(|| run(broken)).map(|report| report.violations.into_iter().next());
    if let Ok(Some(first)) = &found {
        println!("{:?}: found with seed {}: {first}", broken.mutation, broken.seed);
    }
    !matches!(found, Ok(None))
}

/// The same for the rules of transactions and groups, each with the faults that it protects from.
fn assert_found(mutation: Mutation, faults: &'static [Fault]) {
    let found = (1..=60).find(|seed| {
        let broken = streams(Engine::Shared, *seed);
        is_found(with_time(Plan { mutation: Some(mutation), faults, ..broken }))
    });
    assert!(found.is_some(), "{mutation:?} goes unnoticed");
}

#[test]
fn a_batch_of_an_ended_transaction_that_is_accepted_is_found() {
    assert_found(Mutation::AcceptEndedTransaction, &[Fault::Network]);
}

#[test]
fn offsets_of_a_stale_generation_that_are_accepted_are_found() {
    assert_found(Mutation::AcceptStaleGeneration, &[Fault::Coordinators]);
}

#[test]
fn a_torn_end_of_a_transaction_is_found() {
    assert_found(Mutation::TearEndTransaction, &[]);
}

#[test]
fn an_end_that_hits_a_later_transaction_is_found() {
    assert_found(Mutation::EndLaterTransaction, &[Fault::Network]);
}

#[test]
fn records_of_a_stale_coordinator_that_take_effect_are_found() {
    assert_found(Mutation::IgnoreCoordinator, &[Fault::Coordinators]);
}

#[test]
fn lost_offsets_of_a_transaction_are_found() {
    assert_found(Mutation::LosePendingOffsets, &[]);
}

#[test]
fn an_open_transaction_that_is_visible_is_found() {
    assert_found(Mutation::ForgetOpenTransaction, &[]);
}
