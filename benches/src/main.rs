//! `frazil-bench`: load against any Kafka address, and the whole comparison with Kafka and the bare floor.

mod fetch;
mod floor;
mod measure;
mod produce;
mod protocol;
mod report;
mod scenario;
mod sequenced;
mod systems;
mod transactions;
mod usage;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand, ValueEnum as _};
use measure::Figures;
use produce::Guarantee;
use report::Report;
use scenario::{Pace, Scenario};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Open-loop load for any Kafka address, and Frazil against Kafka and the bare floor")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Produces prebuilt batches.
    Produce(ProduceOptions),
    /// Reads a topic again and again.
    Fetch(FetchOptions),
    /// Frazil against Kafka and the bare floor, on this machine.
    All(AllOptions),
    /// The bare server that the floor is measured with; takes only produce requests of this program.
    #[command(hide = true)]
    FloorServer {
        /// Where it listens.
        #[arg(long)]
        listen: SocketAddr,
        /// Where its file lies.
        #[arg(long)]
        folder: PathBuf,
    },
}

#[derive(Args)]
struct AllOptions {
    /// Runs only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// The binary under test.
    #[arg(long, default_value = "target/release/frazil")]
    frazil_bin: PathBuf,
    /// Where the systems keep their data: the disk that is measured.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    data: PathBuf,
    /// Measures shorter; figures of Kafka are worse then, because its code is not compiled yet.
    #[arg(long)]
    quick: bool,
}

#[derive(Args)]
struct Target {
    /// The server's address.
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// The topic, created when missing.
    #[arg(long, default_value = "bench")]
    topic: String,
    /// Its partitions.
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// Process ids of the server, whose CPU time and memory are reported.
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
    /// Connections.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Measured seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds before the measurement.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
}

#[derive(Args)]
struct ProduceOptions {
    #[command(flatten)]
    target: Target,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 5)]
    in_flight: usize,
    /// Records in a batch.
    #[arg(long, default_value_t = 63)]
    batch_records: usize,
    /// Bytes of a record's value.
    #[arg(long, default_value_t = 1024)]
    record_bytes: usize,
    /// Producers with an id and sequences.
    #[arg(long)]
    idempotent: bool,
    /// Producers in transactions of so many seconds.
    #[arg(long)]
    transactions: Option<f64>,
    /// Requests a second over all connections (open loop); without it, as fast as they are answered.
    #[arg(long)]
    rate: Option<f64>,
    /// Does not create the topic: for servers that only take produce requests.
    #[arg(long)]
    no_topic: bool,
}

#[derive(Args)]
struct FetchOptions {
    #[command(flatten)]
    target: Target,
    /// Reads only so many records from the end of each partition, to stay within a cache.
    #[arg(long)]
    last: Option<i64>,
    /// Bytes of one partition in an answer.
    #[arg(long, default_value_t = 1 << 20)]
    partition_max_bytes: i32,
    /// Reads everything once instead of again and again.
    #[arg(long)]
    once: bool,
}

impl ProduceOptions {
    fn guarantee(&self) -> Guarantee {
        match self.transactions {
            Some(seconds) => Guarantee::Transactional { every: Duration::from_secs_f64(seconds) },
            None if self.idempotent => Guarantee::Idempotent,
            None => Guarantee::Plain,
        }
    }
}

fn main() -> Result<()> {
    frazil_tests::install_tls_provider();
    let command = Options::parse().command;
    if let Command::FloorServer { listen, folder } = &command {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(floor::server::serve(*listen, folder));
    }
    // One thread: the generator must leave the machine to the server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run(command))
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Produce(options) => println!("{}", produce_once(&options).await?.line()),
        Command::Fetch(options) => println!("{}", fetch_once(&options).await?.line()),
        Command::All(options) => return compare(options).await,
        Command::FloorServer { .. } => unreachable!("it has a runtime of its own"),
    }
    Ok(())
}

async fn compare(options: AllOptions) -> Result<()> {
    let frazil = options.frazil_bin.canonicalize();
    let frazil = frazil.with_context(|| format!("{}: build it, or name it", options.frazil_bin.display()))?;
    let place = systems::Place { frazil, data: options.data, tools: frazil_tests::Tools::locate()? };
    let seconds = |long: f64, quick: f64| Duration::from_secs_f64(if options.quick { quick } else { long });
    let pace = Pace { warm_up: seconds(5.0, 1.0), duration: seconds(10.0, 3.0) };
    let all = options.scenario.is_empty();
    let scenarios = if all { Scenario::value_variants().to_vec() } else { options.scenario };
    let mut report = Report::default();
    let outcome = scenario::run(&scenarios, &place, pace, &mut report).await;
    // What was measured before a failure is worth showing.
    println!("{}", report.summary());
    outcome
}

async fn produce_once(options: &ProduceOptions) -> Result<Figures> {
    let target = &options.target;
    let address = resolve(&target.bootstrap)?;
    if !options.no_topic {
        protocol::Control::connect(address).await?.create_topic(&target.topic, target.partitions, &[]).await?;
    }
    let load = produce::ProduceLoad {
        topic: target.topic.clone(),
        partitions: target.partitions,
        connections: target.connections,
        in_flight: options.in_flight,
        batch_records: options.batch_records,
        record_bytes: options.record_bytes,
        guarantee: options.guarantee(),
        rate: options.rate,
        warm_up: Duration::from_secs_f64(target.warm_up),
        duration: Duration::from_secs_f64(target.seconds),
    };
    produce::run(address, &target.pid, &load).await
}

async fn fetch_once(options: &FetchOptions) -> Result<Figures> {
    let target = &options.target;
    let address = resolve(&target.bootstrap)?;
    let mut control = protocol::Control::connect(address).await?;
    let first = control.offsets(&target.topic, target.partitions, -2).await?;
    let next = control.offsets(&target.topic, target.partitions, -1).await?;
    let last = options.last.unwrap_or(i64::MAX);
    let load = fetch::FetchLoad {
        topic: target.topic.clone(),
        ranges: first.into_iter().zip(next).map(|(first, next)| (first.max(next.saturating_sub(last)), next)).collect(),
        connections: target.connections,
        partition_max_bytes: options.partition_max_bytes,
        again: !options.once,
        warm_up: Duration::from_secs_f64(target.warm_up),
        duration: Duration::from_secs_f64(target.seconds),
    };
    fetch::run(address, &target.pid, &load).await
}

fn resolve(bootstrap: &str) -> Result<SocketAddr> {
    let mut addresses = bootstrap.to_socket_addrs().with_context(|| format!("the address {bootstrap}"))?;
    addresses.next().with_context(|| format!("{bootstrap} has no address"))
}
