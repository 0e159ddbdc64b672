//! Producers on sockets while their broker is killed, or held up.

use crate::broker_client::{Client, batch, connect, http, until_async};
use crate::site::records_of;
use frazil_broker::testing::produce_request;
use frazil_tests::minio::Minio;
use frazil_tests::{FrazilProcess, FrazilSettings};
use kafka_protocol::messages::ProduceRequest;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const PRODUCERS: i32 = 4;

/// Kills, and acknowledged batches between two of them.
const KILLS: usize = 3;
const BATCHES_PER_LIFE: usize = 20;

/// What one producer was told: values by their offsets.
type Acknowledged = Vec<(i64, String)>;

/// Produces until the broker dies under it; several requests are under way at any time.
async fn produce_until_killed(
    mut client: Client,
    partition: i32,
    life: usize,
    count: Arc<AtomicUsize>,
) -> Acknowledged {
    const UNDER_WAY: usize = 3;
    let value = |number: usize| format!("{partition}-{life}-{number}");
    let mut acknowledged = Vec::new();
    for sent in 0.. {
        if client.send(11, &produce_request("orders", partition, batch(&[&value(sent)]))).await.is_err() {
            break;
        }
        let Some(oldest) = (sent + 1).checked_sub(UNDER_WAY) else { continue };
        let Ok(answer) = client.receive::<ProduceRequest>(11).await else { break };
        let placed = &answer.responses[0].partition_responses[0];
        assert_eq!(placed.error_code, 0, "a healthy broker stores");
        acknowledged.push((placed.base_offset, value(oldest)));
        count.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

/// Kills the process in the middle of producing, again and again, each time with an empty working folder; whatever was
/// acknowledged is there, at its offset.
pub async fn prove(settings: FrazilSettings) {
    let mut process = FrazilProcess::start(settings).expect("it starts");
    let mut client = connect(&process).await;
    assert_eq!(client.create_topic("orders", PRODUCERS, &[]).await.expect("an answer"), 0);
    let mut acknowledged: Vec<Acknowledged> = vec![Vec::new(); PRODUCERS as usize];
    for life in 0..KILLS {
        let count = Arc::new(AtomicUsize::new(0));
        let mut producers = Vec::new();
        for partition in 0..PRODUCERS {
            let producer = produce_until_killed(connect(&process).await, partition, life, count.clone());
            producers.push(tokio::spawn(producer));
        }
        until_async("producers are under way", async || count.load(Ordering::Relaxed) >= BATCHES_PER_LIFE).await;
        process = process.kill_and_restart().expect("it starts again");
        for (partition, producer) in producers.into_iter().enumerate() {
            acknowledged[partition].extend(producer.await.expect("no panic"));
        }
        let mut client = connect(&process).await;
        for (partition, acknowledged) in acknowledged.iter().enumerate() {
            assert_kept(&mut client, partition as i32, acknowledged).await;
        }
    }
}

async fn assert_kept(client: &mut Client, partition: i32, acknowledged: &Acknowledged) {
    let mut read = Vec::new();
    loop {
        let next = read.len() as i64;
        let fetched = client.fetch("orders", partition, next, 0).await.expect("an answer");
        assert_eq!(fetched.error_code, 0);
        match records_of(&[fetched.records.unwrap_or_default()]) {
            records if records.is_empty() => break assert_eq!(next, fetched.high_watermark),
            records => read.extend(records),
        }
    }
    assert!(read.iter().map(|(offset, _)| *offset).eq(0..read.len() as i64), "no gap, no offset twice");
    for (offset, value) in acknowledged {
        let found = read.get(*offset as usize).map(|(_, value)| value);
        assert_eq!(found, Some(value), "acknowledged at offset {offset} of partition {partition}");
    }
}

const PUSHERS: usize = 8;
const PUSHED_MAX: usize = 40;
const PUSHED_BYTES: usize = 1_000_000;

/// Pushes until it is told to stop, or has sent far more than the broker may hold; then reads all answers.
async fn push(mut client: Client, sent: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> usize {
    let request = produce_request("orders", 0, batch(&["x".repeat(PUSHED_BYTES).as_str()]));
    let mut under_way = 0;
    while under_way < PUSHED_MAX && !stop.load(Ordering::Relaxed) {
        client.send(11, &request).await.expect("the broker reads again some day");
        under_way += 1;
        sent.fetch_add(1, Ordering::Relaxed);
    }
    for _ in 0..under_way {
        let answer = client.receive::<ProduceRequest>(11).await.expect("every request is answered");
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    under_way
}

/// Eight connections push 320 MB at a broker whose store stands still: it stops reading, its memory stays small, and
/// afterwards every request is answered.
pub async fn prove_memory_is_bounded() {
    let minio = Minio::start().await;
    let settings = FrazilSettings::on(&minio.url("limits"))
        .with("FRAZIL__LOG__IN_FLIGHT_BYTES", "16MiB")
        .with("FRAZIL__LOG__CACHE_BYTES", "16MiB")
        .with("FRAZIL__KAFKA__QUEUED_MAX_REQUEST_BYTES", "33554432");
    let process = FrazilProcess::start(settings).expect("it starts");
    let mut client = connect(&process).await;
    assert_eq!(client.create_topic("orders", 1, &[]).await.expect("an answer"), 0);
    let idle_bytes = resident_bytes(&process);
    minio.pause();
    let (sent, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut pushers = Vec::new();
    for _ in 0..PUSHERS {
        pushers.push(tokio::spawn(push(connect(&process).await, sent.clone(), stop.clone())));
    }
    wait_until_at_rest(&sent).await;
    let (pushed, bytes) = (sent.load(Ordering::Relaxed), resident_bytes(&process) - idle_bytes);
    assert!(pushed < PUSHERS * PUSHED_MAX * 2 / 3, "{pushed} requests: the broker must stop reading");
    // Requests 32 MiB, segments 16 MiB and what they are copied into, cache 16 MiB.
    assert!(bytes < 160 << 20, "{} MiB more than idle, {pushed} MB pushed", bytes >> 20);
    assert_eq!(http(&process, "/livez").await.0, 200);
    stop.store(true, Ordering::Relaxed);
    minio.resume();
    let mut answered = 0;
    for pusher in pushers {
        answered += pusher.await.expect("no panic");
    }
    let high_watermark = client.fetch("orders", 0, 0, 0).await.expect("an answer").high_watermark;
    assert_eq!(high_watermark, answered as i64, "each once");
}

/// Waits until nothing has been sent for a while.
async fn wait_until_at_rest(sent: &AtomicUsize) {
    let (last, calm) = (Cell::new(0), Cell::new(0));
    let at_rest = async || {
        let now = sent.load(Ordering::Relaxed);
        calm.set(if now == last.replace(now) { calm.get() + 1 } else { 0 });
        now > 0 && calm.get() >= 50
    };
    until_async("the broker stops reading", at_rest).await;
}

/// Resident memory of a process.
fn resident_bytes(process: &FrazilProcess) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("our own child");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of the kernel");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}
