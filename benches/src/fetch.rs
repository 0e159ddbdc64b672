//! Fetch load: every connection reads its partitions from start to end, again and again, one request at a time, as a
//! consumer does.

use crate::measure::{Counts, Figures, measure};
use crate::protocol::{Position, fetch_frame, read_fetched};
use crate::usage;
use anyhow::{Context as _, Result};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The load.
#[derive(Clone, Debug)]
pub struct FetchLoad {
    /// The topic.
    pub topic: String,
    /// The offsets to read: first included, last excluded, for each partition from 0.
    pub ranges: Vec<(i64, i64)>,
    /// Connections; partitions are dealt out over them.
    pub connections: usize,
    /// Bytes of one partition in an answer.
    pub partition_max_bytes: i32,
    /// Whether to start again at the end. Otherwise the run ends when everything was read once.
    pub again: bool,
    /// Time before the measurement, when reading again and again.
    pub warm_up: Duration,
    /// Measured time, when reading again and again; else the most that the run may take.
    pub duration: Duration,
}

/// Runs `load` against the server at `address`, whose processes are `processes`.
pub async fn run(address: SocketAddr, processes: &[u32], load: &FetchLoad) -> Result<Figures> {
    let counts = Rc::new(RefCell::new(Counts::default()));
    let mut readers = tokio::task::JoinSet::new();
    usage::reset_peak(processes);
    let before = usage::of(processes)?;
    let began = Instant::now();
    counts.borrow_mut().measuring = !load.again;
    for number in 0..load.connections.min(load.ranges.len()) {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        readers.spawn_local(read(stream, load.clone(), number, Rc::clone(&counts)));
    }
    if load.again {
        return tokio::select! {
            biased;
            Some(ended) = readers.join_next() => Err(ended?.err().context("a reader ended")?),
            figures = measure(&counts, processes, load.warm_up, load.duration) => figures,
        };
    }
    let all = async {
        while let Some(ended) = readers.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(load.duration, all).await.context("reading everything once")??;
    let elapsed = began.elapsed();
    let mut server = usage::of(processes)?;
    server.cpu -= before.cpu;
    Ok(Figures { elapsed, counts: counts.take(), server })
}

async fn read(mut stream: TcpStream, load: FetchLoad, number: usize, counts: Rc<RefCell<Counts>>) -> Result<()> {
    let connections = load.connections.min(load.ranges.len());
    let own: Vec<usize> = (number..load.ranges.len()).step_by(connections).collect();
    let start = || -> Vec<Position> {
        own.iter().map(|&at| Position { partition: at as i32, offset: load.ranges[at].0 }).collect()
    };
    let mut positions = start();
    let mut answer = Vec::new();
    loop {
        positions.retain(|position| position.offset < load.ranges[position.partition as usize].1);
        if positions.is_empty() {
            if !load.again {
                return Ok(());
            }
            positions = start();
        }
        let due = Instant::now();
        stream.write_all(&fetch_frame(&load.topic, &positions, load.partition_max_bytes, 500)).await?;
        let size = usize::try_from(stream.read_i32().await.context("the server closed the connection")?)?;
        if answer.len() < size {
            answer.resize(size, 0);
        }
        stream.read_exact(&mut answer[..size]).await?;
        let fetched = read_fetched(&answer[..size], &mut positions)?;
        counts.borrow_mut().answer(due, fetched.bytes, fetched.records);
    }
}
