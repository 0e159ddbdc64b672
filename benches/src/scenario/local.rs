//! On a local directory: Frazil, which syncs, against Kafka with and without sync and against the bare server.

use super::{PARTITIONS, Pace, RECORD_BYTES, TOPIC, create_topic, fetch, load, produce};
use crate::floor::disk;
use crate::measure::Figures;
use crate::produce::ProduceLoad;
use crate::report::Report;
use crate::systems::{Place, System, drop_page_cache};
use anyhow::Result;

/// Frazil's default cache.
const CACHE_MIB: f64 = 256.0;
/// What the fetch scenario reads again and again: less than the cache.
const CACHED_BYTES: i64 = 160 << 20;
/// What the catch-up scenario reads once.
const CATCH_UP_BYTES: i64 = 3 << 30;
const PIECES: u64 = 256;

/// What the disk gives: reading, in MiB a second.
pub fn disk(place: &Place, report: &mut Report) -> Result<f64> {
    let folder = place.folder()?;
    let path = folder.path().join("disk");
    let mut reading: f64 = 0.0;
    for writers in [1, 3] {
        let mib = disk::write(&path, PIECES, writers)?;
        report.row(format!("synced 8 MiB writes, {writers} under way"), format!("{mib:8.1} MiB/s"));
    }
    for readers in [1, 3] {
        let mib = disk::read(&path, PIECES, readers)?;
        report.row(format!("sequential 8 MiB reads, {readers} under way"), format!("{mib:8.1} MiB/s"));
        reading = reading.max(mib);
    }
    Ok(reading)
}

/// 64 KiB batches: produce, fetch from the cache, catch-up.
pub async fn batches_64k(place: &Place, pace: Pace, report: &mut Report) -> Result<()> {
    let plan = load(4, 5, 63, pace);
    let what = "64 KiB batches";
    produce(&place.floor()?, &plan, what, report).await?;
    let synced = produced(place.kafka_synced()?, &plan, what, report).await?.1;
    let (kafka, kafka_produce) = produced(place.kafka()?, &plan, what, report).await?;
    let kafka_fetch = fetch(&kafka, cached_records(), true, "fetch of recent records", pace, report).await?;
    drop(kafka);
    let (frazil, frazil_produce) = produced(place.frazil()?, &plan, what, report).await?;
    let frazil_fetch = fetch(&frazil, cached_records(), true, "fetch of recent records", pace, report).await?;

    let produce_ratio = frazil_produce.mib_per_second() / kafka_produce.mib_per_second();
    let synced_ratio = frazil_produce.mib_per_second() / synced.mib_per_second();
    let cpu = |produce: &Figures, fetch: &Figures| produce.cpu_per_gib() + fetch.cpu_per_gib();
    let cpu_ratio = cpu(&frazil_produce, &frazil_fetch) / cpu(&kafka_produce, &kafka_fetch);
    let fetch_ratio = frazil_fetch.mib_per_second() / kafka_fetch.mib_per_second();
    report.at_least("64 KiB batches: MiB/s over Kafka's", produce_ratio, 3.0, "times");
    report.at_least("64 KiB batches: MiB/s over synced Kafka's", synced_ratio, 10.0, "times");
    report.at_most("64 KiB batches: produce and fetch CPU over Kafka's", cpu_ratio, 1.0 / 3.0, "times");
    report.at_most("64 KiB batches: produce CPU", frazil_produce.cpu_per_gib(), 0.8, "s/GiB");
    let peak = frazil_produce.server.resident_peak_bytes.max(frazil_fetch.server.resident_peak_bytes);
    let beyond_cache = peak as f64 / f64::from(1 << 20) - CACHE_MIB;
    report.at_most("64 KiB batches: memory beyond the cache", beyond_cache, 100.0, "MiB");
    report.at_least("fetch from the cache: MiB/s over Kafka's", fetch_ratio, 1.3, "times");
    let fetch_cpu_ratio = frazil_fetch.cpu_per_gib() / kafka_fetch.cpu_per_gib();
    report.at_most("fetch from the cache: CPU over Kafka's", fetch_cpu_ratio, 1.0, "times");
    catch_up(place, pace, &frazil, &kafka_fetch, report).await
}

/// Reads the oldest records once, which no cache holds.
async fn catch_up(place: &Place, pace: Pace, frazil: &System, kafka: &Figures, report: &mut Report) -> Result<()> {
    let what = if drop_page_cache() { "catch-up from the journal" } else { "catch-up (page cache not dropped)" };
    let records = CATCH_UP_BYTES / i64::from(PARTITIONS) / RECORD_BYTES as i64;
    let figures = fetch(frazil, records, false, what, pace, report).await?;
    let reading = disk(place, report)?;
    let floor = reading.min(kafka.mib_per_second() / 0.8);
    report.at_least("catch-up over the disk (or Kafka's page cache)", figures.mib_per_second() / floor, 0.8, "times");
    Ok(())
}

/// Smaller batches on more connections: the same ratios.
pub async fn batches(
    place: &Place,
    pace: Pace,
    report: &mut Report,
    size: &str,
    connections: usize,
    batch_records: usize,
) -> Result<()> {
    let plan = load(connections, 5, batch_records, pace);
    let what = format!("{size} batches");
    produce(&place.floor()?, &plan, &what, report).await?;
    let synced = produced(place.kafka_synced()?, &plan, &what, report).await?.1;
    let (kafka, kafka_produce) = produced(place.kafka()?, &plan, &what, report).await?;
    let kafka_fetch = fetch(&kafka, cached_records(), true, &format!("fetch of {what}"), pace, report).await?;
    drop(kafka);
    let (frazil, frazil_produce) = produced(place.frazil()?, &plan, &what, report).await?;
    let frazil_fetch = fetch(&frazil, cached_records(), true, &format!("fetch of {what}"), pace, report).await?;
    let over = |other: &Figures| frazil_produce.mib_per_second() / other.mib_per_second();
    report.at_least(&format!("{what}: MiB/s over Kafka's"), over(&kafka_produce), 3.0, "times");
    report.at_least(&format!("{what}: MiB/s over synced Kafka's"), over(&synced), 10.0, "times");
    let cpu = |produce: &Figures, fetch: &Figures| produce.cpu_per_gib() + fetch.cpu_per_gib();
    let cpu_ratio = cpu(&frazil_produce, &frazil_fetch) / cpu(&kafka_produce, &kafka_fetch);
    report.at_most(&format!("{what}: produce and fetch CPU over Kafka's"), cpu_ratio, 1.0 / 3.0, "times");
    let fetch_ratio = frazil_fetch.mib_per_second() / kafka_fetch.mib_per_second();
    report.at_least(&format!("{what}: fetch MiB/s over Kafka's"), fetch_ratio, 1.3, "times");
    Ok(())
}

/// Latency of single records.
pub async fn single(place: &Place, pace: Pace, report: &mut Report) -> Result<()> {
    let plan = ProduceLoad { rate: Some(500.0), ..load(8, 1_000, 1, pace) };
    let what = "500 single records/s";
    produce(&place.floor()?, &plan, what, report).await?;
    produced(place.kafka()?, &plan, what, report).await?;
    let synced = produced(place.kafka_synced()?, &plan, what, report).await?.1;
    let frazil = produced(place.frazil()?, &plan, what, report).await?.1;
    let ratio = frazil.latency_ms(0.99) / synced.latency_ms(0.99);
    report.at_most("single records: p99 over synced Kafka's", ratio, 0.25, "times");
    report.at_most("single records: p99", frazil.latency_ms(0.99), 8.0, "ms");
    Ok(())
}

async fn produced(system: System, plan: &ProduceLoad, what: &str, report: &mut Report) -> Result<(System, Figures)> {
    debug_assert_eq!(plan.topic, TOPIC);
    create_topic(&system).await?;
    let figures = produce(&system, plan, what, report).await?;
    Ok((system, figures))
}

fn cached_records() -> i64 {
    CACHED_BYTES / i64::from(PARTITIONS) / RECORD_BYTES as i64
}
