//! Real clients and real processes on a bad day: producers, exactly-once copiers and consumers in groups work together
//! while their broker is killed, stopped for longer than their sessions last, replaced, and loses its store.
//!
//! The clients print what they do and see (`chaos/Chaos.java`: Apache Kafka's own client, with KIP-890); that is a history
//! for the checker of the simulation. Each bad thing happens at least once, in an order that `FRAZIL_SEED` decides, and
//! the next one waits until every client has got on. `FRAZIL_CHAOS_SECONDS` goes on for at least so long.

mod printed;
mod scene;

use crate::broker_client::connect;
use frazil_broker::testing::{Client, fetch_request, topic_name};
use frazil_log::{AbortedTransaction, Isolation};
use frazil_tests::simulation::{Event, History, check, visible};
use frazil_tests::{FrazilProcess, Tools};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;
use printed::Clients;
use scene::{Harm, Scene};
use std::time::{Duration, Instant};

const PARTITIONS: i32 = 3;
const INPUT: i32 = 10;
const OUTPUT: i32 = 20;
const GROUPS: [&str; 2] = ["copiers", "consumers"];
/// Each client must get on within this time after a fault.
const PATIENCE: Duration = Duration::from_secs(120);
/// Clients that must get on by themselves, and groups of which some member must.
const CLIENTS: [&str; 5] = ["write-1", "produce-2", "produce-3", "copy", "consume"];
/// Getting on means so many steps.
const STEPS: usize = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn seed() -> u64 {
    number("FRAZIL_SEED").unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_history_of_real_clients_on_a_folder_holds_an_anomaly() {
    survive("folder", Scene::on_a_folder(seed()), ["consumer", "classic"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_history_of_real_clients_on_a_bucket_holds_an_anomaly() {
    survive("bucket", Scene::on_a_bucket(seed()).await, ["classic", "consumer"]).await;
}

#[tokio::test]
async fn a_broker_that_was_stopped_and_replaced_ends_though_nobody_writes_through_it() {
    Scene::on_a_bucket(seed()).await.suffer(Harm::TakeOver).await;
}

async fn survive(on: &str, mut scene: Scene, protocols: [&str; 2]) {
    let lasting = Duration::from_secs(number("FRAZIL_CHAOS_SECONDS").unwrap_or(0));
    println!("chaos on a {on}: FRAZIL_SEED={}, at least {lasting:?}", seed());
    let mut client = connect(&scene.broker).await;
    for topic in ["input", "output"] {
        assert_eq!(client.create_topic(topic, PARTITIONS, &[]).await.expect("an answer"), 0);
    }
    let tools = Tools::locate().expect("the tools");
    let mut clients = Clients::start(&tools, &scene.bootstrap(), protocols);

    let began = Instant::now();
    let (mut harms, mut rounds) = (Vec::new(), 0);
    wait_for_progress(&mut clients).await;
    while rounds == 0 || !harms.is_empty() || began.elapsed() < lasting {
        if harms.is_empty() {
            (harms, rounds) = (scene.shuffled(!lasting.is_zero()), rounds + 1);
        }
        let harm = harms.pop().expect("something can happen");
        let at = began.elapsed();
        scene = scene.suffer(harm).await;
        let last = wait_for_progress(&mut clients).await;
        println!("  {on}: {at:.1?} {harm:?}, everybody gets on after {:.1?}, last {last:?}", began.elapsed() - at);
    }
    clients.drain();
    wait_until_done(&scene.broker).await;
    assert!(clients.end(PATIENCE), "a client does not end well:{}", clients.complaints());
    let mut history = clients.history();
    look(&scene.broker, &mut history).await;
    judge(on, &history);
}

fn judge(on: &str, history: &History) {
    let violations = check(history);
    let counted = |wanted: fn(&Event) -> bool| history.events().filter(|event| wanted(event)).count();
    let acked = counted(|event| matches!(event, Event::Acked { .. }));
    let committed = counted(|event| matches!(event, Event::Ended { commit: true, .. }));
    let consumed = counted(|event| matches!(event, Event::Consumed { .. }));
    let (seed, events, found) = (seed(), history.len(), violations.len());
    println!(
        "chaos on a {on}, seed {seed}: {events} events, {acked} records, {committed} transactions, {consumed} consumed, \
         {found} anomalies"
    );
    if violations.is_empty() {
        return assert!(committed > 50 && consumed > 50, "too little happened to mean anything");
    }
    let first: String = violations.iter().take(10).map(|violation| format!("  {violation}\n")).collect();
    let place = std::env::temp_dir().join(format!("frazil-chaos-{on}-{seed}.txt"));
    let kept = std::fs::write(&place, history.text()).map(|()| place.display().to_string());
    panic!("seed {seed} on a {on}: {found} anomalies, first\n{first}history: {kept:?}");
}

/// Waits until each client has got on since now; returns who was last.
async fn wait_for_progress(clients: &mut Clients) -> Vec<&'static str> {
    let before = CLIENTS.map(|client| clients.steps(client));
    let until = Instant::now() + PATIENCE;
    let mut last = Vec::new();
    loop {
        let waiting = CLIENTS.iter().zip(before).filter(|(client, before)| clients.steps(client) < before + STEPS);
        let waiting: Vec<_> = waiting.map(|(client, _)| *client).collect();
        if waiting.is_empty() {
            return last;
        }
        let is_hopeless = Instant::now() > until || !clients.are_running();
        assert!(!is_hopeless, "seed {}: {waiting:?} do not get on:{}", seed(), clients.complaints());
        last = waiting;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until both groups have committed all that is there.
async fn wait_until_done(broker: &FrazilProcess) {
    let until = Instant::now() + PATIENCE;
    let mut client = connect(broker).await;
    loop {
        let mut rest = Vec::new();
        for partition in 0..PARTITIONS {
            let end = client.fetch("input", partition, 0, 0).await.expect("an answer").high_watermark;
            for group in GROUPS {
                let offset = committed(&mut client, group, partition).await;
                rest.extend((offset < end).then(|| format!("{group} at {partition}: {offset} of {end}")));
            }
        }
        if rest.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "seed {}: never done: {rest:?}", seed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn committed(client: &mut Client, group: &str, partition: i32) -> i64 {
    let topic =
        OffsetFetchRequestTopics::default().with_name(topic_name("input")).with_partition_indexes(vec![partition]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_topics(Some(vec![topic]));
    let answer = client.call(8, &OffsetFetchRequest::default().with_groups(vec![group])).await.expect("an answer");
    answer.groups[0].topics.first().map_or(0, |topic| topic.partitions[0].committed_offset.max(0))
}

/// Reads everything, in both ways, and where the groups stand.
async fn look(broker: &FrazilProcess, history: &mut History) {
    let mut client = connect(broker).await;
    for (topic, first) in [("input", INPUT), ("output", OUTPUT)] {
        for index in 0..PARTITIONS {
            for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
                read_all(&mut client, (topic, index), first + index, isolation, history).await;
            }
        }
    }
    for index in 0..PARTITIONS {
        for group in GROUPS {
            let offset = committed(&mut client, group, index).await;
            history.note(0, Event::GroupEnd { group, partition: INPUT + index, offset });
        }
    }
}

async fn read_all(
    client: &mut Client,
    (topic, index): (&str, i32),
    partition: i32,
    isolation: Isolation,
    history: &mut History,
) {
    let committed = isolation == Isolation::ReadCommitted;
    let mut offset = 0;
    loop {
        let request = fetch_request(topic, index, offset, 0).with_isolation_level(i8::from(committed));
        let answer = client.call(12, &request).await.expect("an answer");
        let fetched = &answer.responses[0].partitions[0];
        let aborted = fetched.aborted_transactions.iter().flatten().map(|aborted| AbortedTransaction {
            producer_id: aborted.producer_id.0,
            first_offset: aborted.first_offset,
        });
        let seen = visible(&fetched.records.clone().unwrap_or_default(), offset, aborted.collect());
        for (offset, value) in seen.records {
            history.note(0, Event::Read { reader: 0, partition, offset, value, committed });
        }
        for offset in seen.markers {
            history.note(0, Event::Marker { reader: 0, partition, offset });
        }
        if seen.next == offset {
            assert_eq!(offset, fetched.high_watermark, "{topic}/{index}: something is left open");
            return history.note(0, Event::End { partition, log_start: 0, next_offset: offset });
        }
        offset = seen.next;
    }
}
