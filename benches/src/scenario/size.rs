//! Starts, and what a broker is when nothing happens.

use super::{TOPIC, create_topic};
use crate::protocol::{Control, prebuilt_batch, produce_error, produce_frame};
use crate::report::Report;
use crate::systems::{Place, System};
use crate::usage;
use anyhow::{Result, ensure};
use frazil_tests::{FrazilProcess, FrazilSettings};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const STARTS: usize = 5;
const TOPICS: usize = 100;
const PARTITIONS_OF_ONE: i32 = 1_000;

/// From the start of the process to the first acknowledged record, and memory at rest.
pub async fn start(place: &Place, report: &mut Report) -> Result<()> {
    let folder = place.folder()?;
    let settings = FrazilSettings::on_folder(folder.path()).with_binary(&place.frazil);
    let mut times = Vec::new();
    for turn in 0..STARTS {
        let began = Instant::now();
        let process = FrazilProcess::start(settings.clone())?;
        let address = process.bootstrap().parse()?;
        if turn == 0 {
            // The first start makes the topic; a producer that finds it there is the usual one.
            Control::connect(address).await?.create_topic(TOPIC, 1, &[]).await?;
        }
        produce_one(address).await?;
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
        process.terminate()?;
    }
    times.sort_by(f64::total_cmp);
    report.row("start to first acknowledgement", format!("{times:.0?} ms"));
    report.at_most("start to first acknowledged record", times[STARTS / 2], 300.0, "ms");

    let system = place.frazil()?;
    create_topic(&system).await?;
    produce_one(system.address).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let resident = mib(usage::of(&system.processes)?.resident_bytes);
    report.row("memory at rest", format!("{resident:8.1} MiB"));
    report.at_most("resident memory at rest", resident, 60.0, "MiB");
    idle(&system, report).await
}

/// CPU of a broker that nobody asks anything.
async fn idle(system: &System, report: &mut Report) -> Result<()> {
    let before = usage::of(&system.processes)?.cpu;
    let period = Duration::from_secs(5);
    tokio::time::sleep(period).await;
    let used = usage::of(&system.processes)?.cpu - before;
    let share = used.as_secs_f64() / period.as_secs_f64() * 100.0;
    report.row("CPU at rest", format!("{share:8.1} % of a core"));
    Ok(())
}

/// 100,000 partitions: made, then a start with them.
pub async fn partitions(place: &Place, report: &mut Report) -> Result<()> {
    let folder = place.folder()?;
    let process = FrazilProcess::start(FrazilSettings::on_folder(folder.path()).with_binary(&place.frazil))?;
    let address = process.bootstrap().parse()?;
    let mut control = Control::connect(address).await?;
    let empty = usage::of(&[process.id()])?.resident_bytes;
    let began = Instant::now();
    for number in 0..TOPICS {
        control.create_topic(&format!("wide-{number}"), PARTITIONS_OF_ONE, &[]).await?;
    }
    let count = TOPICS as i32 * PARTITIONS_OF_ONE;
    report.row(format!("making {count} partitions"), format!("{:8.1} s", began.elapsed().as_secs_f64()));
    let began = Instant::now();
    for number in 0..TOPICS {
        produce_one_to_each(address, &format!("wide-{number}")).await?;
    }
    report.row("a record to each of them", format!("{:8.1} s", began.elapsed().as_secs_f64()));
    let settings = process.settings();
    process.terminate()?;

    let began = Instant::now();
    let process = FrazilProcess::start(settings)?;
    let next = Control::connect(address).await?.offsets("wide-99", PARTITIONS_OF_ONE, -1).await?;
    ensure!(next.iter().all(|&offset| offset == 1), "every partition has its record again");
    let seconds = began.elapsed().as_secs_f64();
    let resident = usage::of(&[process.id()])?.resident_bytes;
    report.row(format!("start with {count} partitions"), format!("{seconds:8.2} s, {:.0} MiB resident", mib(resident)));
    report.at_most("100,000 partitions: start", seconds, 5.0, "s");
    report.at_most("100,000 partitions: memory", mib(resident.saturating_sub(empty)), 512.0, "MiB");
    Ok(())
}

/// Produces one record and waits for its acknowledgement.
async fn produce_one(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&produce_frame(TOPIC, 0, &prebuilt_batch(1, 100)?)).await?;
    acknowledged(&mut stream).await
}

/// Produces a record to each partition of `topic`, pipelined, and waits for all acknowledgements.
async fn produce_one_to_each(address: SocketAddr, topic: &str) -> Result<()> {
    let batch = prebuilt_batch(1, 100)?;
    let frames: Vec<u8> = (0..PARTITIONS_OF_ONE).flat_map(|at| produce_frame(topic, at, &batch)).collect();
    let (mut read, mut write) = TcpStream::connect(address).await?.into_split();
    let answers = async {
        for _ in 0..PARTITIONS_OF_ONE {
            acknowledged(&mut read).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(async { Ok(write.write_all(&frames).await?) }, answers)?;
    Ok(())
}

async fn acknowledged(stream: &mut (impl AsyncRead + Unpin)) -> Result<()> {
    let mut answer = vec![0; usize::try_from(stream.read_i32().await?)?];
    stream.read_exact(&mut answer).await?;
    let error = produce_error(&answer)?;
    ensure!(error == 0, "a record was refused: error {error}");
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
