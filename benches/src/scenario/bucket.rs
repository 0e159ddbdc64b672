//! On a bucket: Frazil on MinIO, both on this machine, against what MinIO gives bare.

use super::{Pace, create_topic, fetch, load, produce};
use crate::floor::bucket;
use crate::measure::gib;
use crate::produce::ProduceLoad;
use crate::report::Report;
use crate::systems::{Place, System, drop_page_cache};
use crate::usage;
use anyhow::Result;
use frazil_tests::minio::Minio;
use frazil_tests::{FrazilProcess, FrazilSettings};

const OBJECTS: u64 = 192;
/// What the catch-up scenario reads once, from the oldest record on.
const CATCH_UP_RECORDS: i64 = 150_000;
/// Frazil's default for buckets.
const FLUSH_AGE_MS: f64 = 250.0;

/// Produce, latency and catch-up.
pub async fn minio(place: &Place, pace: Pace, report: &mut Report) -> Result<()> {
    let minio = Minio::start().await;
    let bare = bare(&minio, report).await?;

    let settings = FrazilSettings::on(&minio.url("bench")).with_binary(&place.frazil);
    let mut frazil = System::of_frazil(FrazilProcess::start(settings)?, None)?;
    create_topic(&frazil).await?;
    // A flush takes a quarter of a second: clients need that much under way.
    let plan = load(16, 64, 63, pace);
    let (puts_before, minio_before) = (frazil.store_requests("put")?, usage::of(&[minio.id()])?.cpu);
    let produced = produce(&frazil, &plan, "64 KiB batches on MinIO", report).await?;
    let minio_cpu = usage::of(&[minio.id()])?.cpu - minio_before;
    let puts = frazil.store_requests("put")?;
    let stored = gib(bytes_in(&frazil).await?);
    let puts_per_gib = (puts - puts_before) as f64 / stored;
    report.row(
        "  MinIO's part",
        format!("{:8.2} CPU s/GiB, {puts_per_gib:.0} PUTs/GiB", minio_cpu.as_secs_f64() / stored),
    );
    report.at_least("MinIO: MiB/s over bare 8 MiB PUTs", produced.mib_per_second() / bare.put_mib, 0.6, "times");
    report.at_most("MinIO: PUTs per GiB", puts_per_gib, 140.0, "");

    let calm = ProduceLoad { rate: Some(500.0), ..plan };
    let calm = produce(&frazil, &calm, "500 batches of 64 KiB a second on MinIO", report).await?;
    let bound = FLUSH_AGE_MS + bare.put_p99_ms + 10.0;
    report.at_most("MinIO: p99 of the acknowledgement", calm.latency_ms(0.99), bound, "ms");

    drop_page_cache();
    let gets_before = frazil.store_requests("get")?;
    frazil.processes.push(minio.id());
    let read = fetch(&frazil, CATCH_UP_RECORDS, false, "catch-up from MinIO (CPU of both)", pace, report).await?;
    let gets = frazil.store_requests("get")? - gets_before;
    report.row("  its requests", format!("{:8.0} GETs/GiB", gets as f64 / gib(read.counts.bytes)));
    report.at_least("MinIO: catch-up over bare ranged GETs", read.mib_per_second() / bare.get_mib, 0.8, "times");
    Ok(())
}

struct Bare {
    put_mib: f64,
    put_p99_ms: f64,
    get_mib: f64,
}

async fn bare(minio: &Minio, report: &mut Report) -> Result<Bare> {
    let store = bucket::bucket(&minio.url("bare")).await?;
    bucket::put(&store, 8, 1).await?;
    let alone = bucket::put(&store, OBJECTS / 2, 1).await?;
    let put = bucket::put(&store, OBJECTS, 4).await?;
    drop_page_cache();
    let get = bucket::get(&store, OBJECTS, 4).await?;
    for (what, figures) in
        [("8 MiB PUTs, 1 writer", &alone), ("8 MiB PUTs, 4 writers", &put), ("4 MiB GETs, 4 readers", &get)]
    {
        report
            .row(format!("bare {what}"), format!("{:8.1} MiB/s  p99 {:.1} ms", figures.mib_per_second, figures.p99_ms));
    }
    Ok(Bare { put_mib: put.mib_per_second, put_p99_ms: put.p99_ms, get_mib: get.mib_per_second })
}

/// Bytes of records in the topic, warm-up included.
async fn bytes_in(system: &System) -> Result<u64> {
    let mut control = crate::protocol::Control::connect(system.address).await?;
    let next = control.offsets(super::TOPIC, super::PARTITIONS, -1).await?;
    Ok(next.iter().sum::<i64>() as u64 * super::RECORD_BYTES as u64)
}
