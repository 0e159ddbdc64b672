//! The comparison: each scenario starts its systems one after the other on the same machine and disk, puts the same load
//! on each, and holds Frazil's figures against the targets.

mod bucket;
mod local;
mod size;
mod transactions;

use crate::measure::Figures;
use crate::report::Report;
use crate::systems::{Place, System};
use crate::{fetch, produce, protocol};
use anyhow::Result;
use clap::ValueEnum;
use std::time::Duration;

/// What can be run on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The disk alone: synced writing and reading.
    Disk,
    /// 64 KiB batches on 4 connections; fetch from the cache; catch-up.
    Batches64k,
    /// 16 KiB batches on 16 connections.
    Batches16k,
    /// Batches of one 1 KiB record on 64 connections.
    Batches1k,
    /// 500 single records a second.
    Single,
    /// Frazil on MinIO against bare PUTs and GETs.
    Minio,
    /// Start to first acknowledgement, and memory at rest.
    Start,
    /// 100,000 partitions.
    Partitions,
    /// Plain, idempotent and transactional producing; commits over 50 partitions.
    Transactions,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Before each measurement; long enough that Kafka's code is compiled.
    pub warm_up: Duration,
    /// Each measurement.
    pub duration: Duration,
}

/// Runs `scenarios` in turn.
pub async fn run(scenarios: &[Scenario], place: &Place, pace: Pace, report: &mut Report) -> Result<()> {
    for scenario in scenarios {
        println!("\n-- {}", scenario.to_possible_value().expect("no scenario is hidden").get_name());
        match scenario {
            Scenario::Disk => local::disk(place, report).map(|_| ())?,
            Scenario::Batches64k => local::batches_64k(place, pace, report).await?,
            Scenario::Batches16k => local::batches(place, pace, report, "16 KiB", 16, 15).await?,
            Scenario::Batches1k => local::batches(place, pace, report, "1 KiB", 64, 1).await?,
            Scenario::Single => local::single(place, pace, report).await?,
            Scenario::Minio => bucket::minio(place, pace, report).await?,
            Scenario::Start => size::start(place, report).await?,
            Scenario::Partitions => size::partitions(place, report).await?,
            Scenario::Transactions => transactions::run(place, pace, report).await?,
        }
    }
    Ok(())
}

const TOPIC: &str = "bench";
const PARTITIONS: i32 = 6;
const RECORD_BYTES: usize = 1024;

fn load(connections: usize, in_flight: usize, batch_records: usize, pace: Pace) -> produce::ProduceLoad {
    produce::ProduceLoad {
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
        connections,
        in_flight,
        batch_records,
        record_bytes: RECORD_BYTES,
        guarantee: produce::Guarantee::Plain,
        rate: None,
        warm_up: pace.warm_up,
        duration: pace.duration,
    }
}

async fn create_topic(system: &System) -> Result<()> {
    protocol::Control::connect(system.address).await?.create_topic(TOPIC, PARTITIONS, &[]).await
}

/// Puts `load` on `system` and reports the figures.
async fn produce(system: &System, load: &produce::ProduceLoad, what: &str, report: &mut Report) -> Result<Figures> {
    let figures = produce::run(system.address, &system.processes, load).await?;
    report.row(format!("{what}, {}", system.name), figures.line());
    Ok(figures)
}

/// Reads at most `records` records of each partition, from the end (again and again) or from the start (once).
async fn fetch(
    system: &System,
    records: i64,
    from_end: bool,
    what: &str,
    pace: Pace,
    report: &mut Report,
) -> Result<Figures> {
    let mut control = protocol::Control::connect(system.address).await?;
    let first = control.offsets(TOPIC, PARTITIONS, -2).await?;
    let next = control.offsets(TOPIC, PARTITIONS, -1).await?;
    let ranges = first.into_iter().zip(next).map(|(first, next)| {
        if from_end { (first.max(next - records), next) } else { (first, next.min(first + records)) }
    });
    let load = fetch::FetchLoad {
        topic: TOPIC.to_owned(),
        ranges: ranges.collect(),
        connections: 4,
        partition_max_bytes: 1 << 20,
        again: from_end,
        warm_up: Duration::from_secs(2),
        duration: if from_end { pace.duration } else { Duration::from_secs(300) },
    };
    let figures = fetch::run(system.address, &system.processes, &load).await?;
    report.row(format!("{what}, {}", system.name), figures.line());
    Ok(figures)
}
