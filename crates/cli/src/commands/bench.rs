//! `frazil bench`: produces prebuilt batches as fast as the cluster takes them (or at a rate), reads them back, and
//! prints throughput and latency. Works against any Kafka cluster. For comparisons with a warm-up, CPU time and several
//! clusters in one run there is the benchmark in `benches/`.

use crate::args::{ClusterArgs, parse_bytes, parse_duration};
use crate::client::{Client, ClientError, Connection, Consumer};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Listing, column};
use bytes::Bytes;
use frazil_base::Env;
use frazil_wire::{BatchBuilder, Compression};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

const MIB: f64 = 1_048_576.0;
/// An hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;
const FETCH_WAIT: Duration = Duration::from_millis(500);

/// Arguments of `frazil bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Topic to use; it is created when it does not exist
    #[arg(long, default_value = "frazil-bench")]
    topic: String,
    /// Partitions of a topic that is created
    #[arg(short, long, default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// How long to produce
    #[arg(short, long, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// Bytes of a record's value
    #[arg(long, default_value = "1KiB", value_parser = parse_bytes)]
    record_bytes: u64,
    /// Bytes of a batch before compression
    #[arg(long, default_value = "64KiB", value_parser = parse_bytes)]
    batch_bytes: u64,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(short = 'z', long, default_value = "none", value_parser = parse_compression)]
    compression: Compression,
    /// Connections
    #[arg(short, long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Requests under way per connection
    #[arg(short, long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Batches per second in all [default: as many as go through]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Do not read back what was written
    #[arg(long)]
    no_fetch: bool,
    /// How to print
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

fn parse_compression(name: &str) -> Result<Compression, String> {
    Compression::from_name(name).ok_or_else(|| "one of none, gzip, snappy, lz4, zstd".to_string())
}

/// Runs the load and prints the figures.
pub async fn run(args: BenchArgs) -> Outcome {
    let client = Client::new(args.cluster.bootstrap.clone(), args.cluster.timeout);
    match client.create_topic(&args.topic, Some(args.partitions), &[], false).await {
        Ok(()) | Err(ClientError::Refused { error: ResponseError::TopicAlreadyExists, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let leaders = client.leaders(&args.topic, true).await?;
    let before = client.offsets(&args.topic).await?;
    let mut listing = Listing::new(
        &["run", "requests", "records", "seconds", "mib_per_second", "p50_ms", "p99_ms", "p99_9_ms", "max_ms"]
            .map(column),
    );
    let produced = produce(&client, &args, &leaders).await?;
    listing.push(produced.row("produce"));
    if !args.no_fetch {
        let starts: BTreeMap<i32, i64> = before.iter().map(|(partition, offsets)| (*partition, offsets.end)).collect();
        listing.push(fetch(&client, &args.topic, starts).await?.row("fetch"));
    }
    listing.show(args.output)?;
    Ok(Exit::Ok)
}

/// What was measured.
struct Figures {
    requests: u64,
    records: u64,
    bytes: u64,
    elapsed: Duration,
    /// Microseconds.
    latencies: Histogram<u64>,
}

impl Figures {
    fn new() -> Figures {
        let latencies = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are in order");
        Figures { requests: 0, records: 0, bytes: 0, elapsed: Duration::ZERO, latencies }
    }

    fn add(&mut self, latency: Duration, records: u64, bytes: u64) {
        self.requests += 1;
        self.records += records;
        self.bytes += bytes;
        self.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    fn merge(&mut self, other: Figures) {
        self.requests += other.requests;
        self.records += other.records;
        self.bytes += other.bytes;
        self.latencies += other.latencies;
    }

    fn row(&self, name: &str) -> Vec<serde_json::Value> {
        let seconds = self.elapsed.as_secs_f64();
        let rounded = |number: f64| serde_json::json!((number * 100.0).round() / 100.0);
        let quantile = |quantile: f64| rounded(self.latencies.value_at_quantile(quantile) as f64 / 1_000.0);
        vec![
            name.into(),
            self.requests.into(),
            self.records.into(),
            rounded(seconds),
            rounded(if seconds > 0.0 { self.bytes as f64 / MIB / seconds } else { 0.0 }),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            rounded(self.latencies.max() as f64 / 1_000.0),
        ]
    }
}

async fn produce(client: &Client, args: &BenchArgs, leaders: &BTreeMap<i32, i32>) -> Result<Figures, Failure> {
    let (batch, records) = build_batch(args);
    let start = Instant::now();
    let end = start + args.duration;
    let pace = args.rate.map(|rate| Duration::from_secs(1) * u32::from(args.connections) / rate);
    let partitions: Vec<(i32, i32)> = leaders.iter().map(|(partition, leader)| (*partition, *leader)).collect();
    let mut lanes = Vec::new();
    for index in 0..usize::from(args.connections) {
        let (partition, leader) = partitions[index % partitions.len()];
        let connection = client.dedicated(leader).await?;
        let mine = partitions.iter().filter(|(_, node)| *node == leader).map(|(partition, _)| *partition);
        let mut mine: Vec<i32> = mine.collect();
        mine.sort_by_key(|candidate| *candidate < partition);
        let lane = Lane { connection, topic: args.topic.clone(), partitions: mine, batch: batch.clone(), records };
        lanes.push(lane);
    }
    let runs = lanes.iter().map(|lane| lane.run(end, usize::from(args.in_flight), pace, client.timeout()));
    let mut figures = Figures::new();
    for run in futures::future::try_join_all(runs).await? {
        figures.merge(run);
    }
    figures.elapsed = start.elapsed();
    Ok(figures)
}

/// One connection's share of the load.
struct Lane {
    connection: Connection,
    topic: String,
    partitions: Vec<i32>,
    batch: Bytes,
    records: u64,
}

impl Lane {
    /// Keeps `in_flight` requests under way until `end`. With a pace, latency counts from when a request was due, so
    /// that a stall is seen by every request that had to wait for it.
    async fn run(
        &self,
        end: Instant,
        in_flight: usize,
        pace: Option<Duration>,
        timeout: Duration,
    ) -> Result<Figures, ClientError> {
        let mut figures = Figures::new();
        let mut under_way = FuturesUnordered::new();
        let (mut due, mut number) = (Instant::now(), 0usize);
        loop {
            while under_way.len() < in_flight && due < end && Instant::now() < end {
                let partition = self.partitions[number % self.partitions.len()];
                let since = if pace.is_some() { due } else { Instant::now() };
                under_way.push(self.send(partition, since, timeout));
                number += 1;
                due += pace.unwrap_or_default();
            }
            match under_way.next().await {
                Some(latency) => figures.add(latency?, self.records, self.batch.len() as u64),
                None => return Ok(figures),
            }
        }
    }

    async fn send(&self, partition: i32, since: Instant, timeout: Duration) -> Result<Duration, ClientError> {
        tokio::time::sleep_until(since).await;
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(self.batch.clone()));
        let name = TopicName(StrBytes::from_string(self.topic.clone()));
        let topic = TopicProduceData::default().with_name(name).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
            .with_topic_data(vec![topic]);
        let response = self.connection.call(&request, timeout).await?;
        for answer in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
            crate::client::check(answer.error_code, || format!("produce to {}/{partition}", self.topic), None)?;
        }
        Ok(since.elapsed())
    }
}

/// A batch of records of the size asked for, with content that does not compress to nothing.
fn build_batch(args: &BenchArgs) -> (Bytes, u64) {
    let env = Env::system();
    let mut value = Vec::with_capacity(args.record_bytes as usize);
    while value.len() < args.record_bytes as usize {
        value.extend_from_slice(format!("{:x} ", env.entropy.bits64()).as_bytes());
    }
    value.truncate(args.record_bytes as usize);
    let mut batch = BatchBuilder::new(args.compression);
    let now_ms = env.clock.now_ms();
    loop {
        batch.push(now_ms, None, Some(&value), &[]);
        if batch.uncompressed_bytes() + value.len() > args.batch_bytes as usize {
            return (batch.build(), batch.len() as u64);
        }
    }
}

/// Reads from `starts` to what was the end at the beginning.
async fn fetch(client: &Client, topic: &str, starts: BTreeMap<i32, i64>) -> Result<Figures, Failure> {
    let ends = client.offsets(topic).await?;
    let mut consumer = Consumer::new(client.clone(), topic, starts);
    let mut figures = Figures::new();
    let begin = Instant::now();
    loop {
        let done = |(partition, position): (&i32, &i64)| ends.get(partition).is_none_or(|end| *position >= end.end);
        let finished: Vec<i32> =
            consumer.positions().iter().filter(|entry| done(*entry)).map(|(partition, _)| *partition).collect();
        finished.into_iter().for_each(|partition| consumer.leave(partition));
        if consumer.positions().is_empty() {
            figures.elapsed = begin.elapsed();
            return Ok(figures);
        }
        let asked = Instant::now();
        let fetched = consumer.poll(FETCH_WAIT).await?;
        let records = fetched.iter().map(|partition| partition.records.len() as u64).sum();
        let value_bytes = |record: &crate::client::ReadRecord| record.value.as_ref().map_or(0, Bytes::len) as u64;
        let bytes = fetched.iter().flat_map(|partition| &partition.records).map(value_bytes).sum();
        figures.add(asked.elapsed(), records, bytes);
    }
}
