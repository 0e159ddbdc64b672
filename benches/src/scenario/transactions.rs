//! What the guarantees cost: plain, idempotent and transactional producing, and commits over many partitions.

use super::{Pace, create_topic, load, produce};
use crate::measure::Figures;
use crate::produce::{Guarantee, ProduceLoad};
use crate::protocol::Control;
use crate::report::Report;
use crate::systems::{Place, System};
use crate::transactions::{CommitFigures, commits};
use anyhow::Result;
use std::time::Duration;

/// How long a transaction of the throughput comparison lasts.
const TRANSACTION: Duration = Duration::from_millis(500);
/// Topic and partitions of the commits.
const WIDE: &str = "wide";
const WIDE_PARTITIONS: i32 = 50;

/// Throughput of the three guarantees on Frazil, and commits on Frazil and on Kafka.
pub async fn run(place: &Place, pace: Pace, report: &mut Report) -> Result<()> {
    throughput(place, pace, report).await?;
    let kafka = committed(&place.kafka()?, pace, report).await?;
    let synced = committed(&place.kafka_synced()?, pace, report).await?;
    let frazil = committed(&place.frazil()?, pace, report).await?;
    let whole = |figures: &CommitFigures| figures.transaction_us.value_at_quantile(0.5) as f64;
    let commit = frazil.commit_us.value_at_quantile(0.5) as f64;
    let append = frazil.append_us.value_at_quantile(0.5) as f64;
    report.at_most("commit of 50 partitions over one append", commit / append, 1.5, "times");
    report.at_most("transactions over 50 partitions, p50 over Kafka's", whole(&frazil) / whole(&kafka), 1.0, "times");
    report.at_most("the same, over synced Kafka's", whole(&frazil) / whole(&synced), 0.5, "times");
    Ok(())
}

async fn throughput(place: &Place, pace: Pace, report: &mut Report) -> Result<()> {
    let mut rates = Vec::new();
    let guarantees = [
        ("plain", Guarantee::Plain),
        ("idempotent", Guarantee::Idempotent),
        ("transactional", Guarantee::Transactional { every: TRANSACTION }),
    ];
    for (name, guarantee) in guarantees {
        let system = place.frazil()?;
        create_topic(&system).await?;
        let plan = ProduceLoad { guarantee, ..load(4, 5, 63, pace) };
        let figures: Figures = produce(&system, &plan, &format!("64 KiB batches, {name}"), report).await?;
        rates.push(figures.mib_per_second());
    }
    report.at_least("idempotent over plain MiB/s", rates[1] / rates[0], 0.9, "times");
    report.at_least("transactional over plain MiB/s", rates[2] / rates[0], 0.9, "times");
    Ok(())
}

async fn committed(system: &System, pace: Pace, report: &mut Report) -> Result<CommitFigures> {
    Control::connect(system.address).await?.create_topic(WIDE, WIDE_PARTITIONS, &[]).await?;
    let figures = commits(system.address, WIDE, WIDE_PARTITIONS, pace.warm_up, pace.duration).await?;
    report.row(format!("50 partitions, {}", system.name), figures.line());
    Ok(figures)
}
