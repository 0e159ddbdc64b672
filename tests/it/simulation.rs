//! The whole data path in virtual time, from a seed: see `frazil_tests::simulation`.

use frazil_meta::state::Mutation;
use frazil_tests::simulation::{Engine, Plan, Report, run};

const ENGINES: [Engine; 3] = [Engine::Object, Engine::Shared, Engine::SharedWithBodies];

fn plan(engine: Engine, seed: u64) -> Plan {
    Plan { seed, engine, producers: 6, batches: 200, chaos: true, mutation: None }
}

/// Seeds of a test: the one in `FRAZIL_SEED`, or the first `FRAZIL_SEEDS`, or `count`.
fn seeds(count: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    match number("FRAZIL_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("FRAZIL_SEEDS").unwrap_or(count)).collect(),
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
        "{:?} with seed {}: {} violations, first\n{found}history: {kept:?}",
        plan.engine,
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
        let plan = Plan { chaos: false, ..plan(engine, 1) };
        let report = run(plan);
        assert_kept(plan, &report);
        let failed =
            report.history.events().filter(|event| matches!(event, frazil_tests::simulation::Event::Failed { .. }));
        assert_eq!(failed.count(), 0, "nothing failed, so no attempt may");
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
        let found = (1..=30).find(|seed| {
            let broken = Plan { mutation: Some(mutation), ..plan(engine, *seed) };
            // A broken rule may also trip an assertion of the product; that is a finding too.
            std::panic::catch_unwind(|| run(broken)).map_or(true, |report| !report.violations.is_empty())
        });
        assert!(found.is_some(), "{mutation:?} on {engine:?} goes unnoticed");
    }
}
