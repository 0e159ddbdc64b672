//! Produce load: prebuilt requests, several in flight on each connection, as fast as they are answered or at a rate.
//!
//! At a rate the load is open loop: a request is due at its time whether or not earlier ones were answered, and its
//! latency counts from then, so a server that stalls is charged for everything that had to wait.

use crate::measure::{Counts, Figures, measure};
use crate::protocol::{Control, noise, prebuilt_batch, produce_error, produce_frame};
use crate::sequenced::SequencedFrames;
use crate::transactions::Transactional;
use crate::usage;
use anyhow::{Context as _, Result};
use bytes::{Buf as _, Bytes};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};

/// What producers promise and ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// Nothing: the same batches again and again.
    #[default]
    Plain,
    /// A producer id and sequences; one producer per connection.
    Idempotent,
    /// The same in transactions of this length, one after the other.
    Transactional {
        /// After so much time the transaction is committed.
        every: Duration,
    },
}

/// The load.
#[derive(Clone, Debug)]
pub struct ProduceLoad {
    /// The topic, which exists.
    pub topic: String,
    /// Its partitions; each connection takes them in turn.
    pub partitions: i32,
    /// Connections.
    pub connections: usize,
    /// Requests in flight on each connection.
    pub in_flight: usize,
    /// Records in a batch; a request carries one batch.
    pub batch_records: usize,
    /// Bytes of a record's value.
    pub record_bytes: usize,
    /// What producers promise.
    pub guarantee: Guarantee,
    /// Requests a second over all connections; none means as fast as they are answered.
    pub rate: Option<f64>,
    /// Time before the measurement.
    pub warm_up: Duration,
    /// Measured time.
    pub duration: Duration,
}

/// When a request was due.
type Due = Instant;

/// Runs `load` against the server at `address`, whose processes are `processes`.
pub async fn run(address: SocketAddr, processes: &[u32], load: &ProduceLoad) -> Result<Figures> {
    let batch = prebuilt_batch(load.batch_records, load.record_bytes)?;
    let plain: Rc<[Bytes]> =
        (0..load.partitions).map(|partition| produce_frame(&load.topic, partition, &batch)).collect();
    let counts = Rc::new(RefCell::new(Counts::default()));
    let mut connections = tokio::task::JoinSet::new();
    let mut dues = Vec::new();
    for number in 0..load.connections {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let (give, take) = mpsc::unbounded_channel();
        dues.push(give);
        let connection = Connection {
            number,
            permits: Rc::new(Semaphore::new(load.in_flight)),
            waiting: Rc::default(),
            counts: Rc::clone(&counts),
            answer_bytes: batch.len() as u64,
            answer_records: load.batch_records as u64,
        };
        let dues = load.rate.map(|_| take);
        let requests = Requests::of(address, load, number, &plain).await?;
        connections.spawn_local(connection.run(stream, requests, dues));
    }
    if let Some(rate) = load.rate {
        start_pacer(rate, dues, load.warm_up + load.duration + Duration::from_secs(1));
    }
    usage::reset_peak(processes);
    tokio::select! {
        biased;
        // Connections only end with an error.
        Some(ended) = connections.join_next() => Err(ended?.err().context("a connection ended")?),
        figures = measure(&counts, processes, load.warm_up, load.duration) => figures,
    }
}

/// A thread that tells each request's time. A thread, because its sleep is precise to 0.1 ms and a timer wheel's is not.
fn start_pacer(rate: f64, dues: Vec<mpsc::UnboundedSender<Due>>, total: Duration) {
    let period = Duration::from_secs_f64(1.0 / rate);
    std::thread::spawn(move || {
        let began = Instant::now();
        let mut due = began;
        for give in dues.iter().cycle() {
            due += period;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if give.send(due).is_err() || due - began > total {
                return;
            }
        }
    });
}

/// What a connection sends.
enum Requests {
    Plain(Rc<[Bytes]>),
    Idempotent(Vec<SequencedFrames>),
    Transactional {
        frames: Vec<SequencedFrames>,
        producer: Box<Transactional>,
        load: Box<ProduceLoad>,
        every: Duration,
    },
}

impl Requests {
    async fn of(address: SocketAddr, load: &ProduceLoad, number: usize, plain: &Rc<[Bytes]>) -> Result<Requests> {
        let value = noise(load.record_bytes);
        let frames = |id: Option<&str>, producer: (i64, i16)| {
            let of = |at| SequencedFrames::new(&load.topic, at, id, producer, load.batch_records, &value);
            (0..load.partitions).map(of).collect::<Vec<_>>()
        };
        Ok(match load.guarantee {
            Guarantee::Plain => Requests::Plain(Rc::clone(plain)),
            Guarantee::Idempotent => {
                let id = Control::connect(address).await?.producer_id().await?;
                Requests::Idempotent(frames(None, (id, 0)))
            }
            Guarantee::Transactional { every } => {
                let mut producer = Transactional::start(address, &format!("bench-{number}")).await?;
                let frames = frames(Some(producer.id()), (producer.producer_id, producer.epoch));
                producer.begin(&load.topic, load.partitions).await?;
                Requests::Transactional { frames, producer: Box::new(producer), load: Box::new(load.clone()), every }
            }
        })
    }

    /// The request of this turn, in two pieces.
    fn next(&mut self, turn: usize) -> (Bytes, Bytes) {
        match self {
            Requests::Plain(frames) => (frames[turn % frames.len()].clone(), Bytes::new()),
            Requests::Idempotent(frames) | Requests::Transactional { frames, .. } => {
                let count = frames.len();
                frames[turn % count].next()
            }
        }
    }
}

#[derive(Clone)]
struct Connection {
    number: usize,
    permits: Rc<Semaphore>,
    waiting: Rc<RefCell<VecDeque<Due>>>,
    counts: Rc<RefCell<Counts>>,
    answer_bytes: u64,
    answer_records: u64,
}

impl Connection {
    async fn run(
        self,
        stream: TcpStream,
        requests: Requests,
        dues: Option<mpsc::UnboundedReceiver<Due>>,
    ) -> Result<()> {
        let (read, write) = stream.into_split();
        tokio::try_join!(self.send(write, requests, dues), self.receive(read))?;
        Ok(())
    }

    async fn send(
        &self,
        mut write: OwnedWriteHalf,
        mut requests: Requests,
        mut dues: Option<mpsc::UnboundedReceiver<Due>>,
    ) -> Result<()> {
        let mut begun = Instant::now();
        for turn in self.number.. {
            self.commit_if_due(&mut requests, &mut begun).await?;
            let due = match &mut dues {
                Some(dues) => dues.recv().await,
                None => None,
            };
            self.permits.acquire().await?.forget();
            // Without a rate a request is due when it may be sent; when the pacer is done, the measurement is, too.
            self.waiting.borrow_mut().push_back(due.unwrap_or_else(Instant::now));
            let (head, rest) = requests.next(turn);
            write.write_all_buf(&mut head.chain(rest)).await?;
        }
        Ok(())
    }

    /// Ends a transaction that has lasted long enough, when its requests are answered, and begins the next.
    async fn commit_if_due(&self, requests: &mut Requests, begun: &mut Instant) -> Result<()> {
        let Requests::Transactional { producer, load, every, .. } = requests else { return Ok(()) };
        if begun.elapsed() < *every {
            return Ok(());
        }
        let _all_answered = self.permits.acquire_many(load.in_flight as u32).await?;
        producer.commit().await?;
        producer.begin(&load.topic, load.partitions).await?;
        *begun = Instant::now();
        Ok(())
    }

    async fn receive(&self, read: OwnedReadHalf) -> Result<()> {
        let mut read = BufReader::with_capacity(64 << 10, read);
        let mut answer = Vec::new();
        loop {
            let size = read.read_i32().await.context("the server closed the connection")?;
            answer.resize(usize::try_from(size)?, 0);
            read.read_exact(&mut answer).await?;
            let due = self.waiting.borrow_mut().pop_front().context("an answer that nobody asked for")?;
            match produce_error(&answer)? {
                0 => self.counts.borrow_mut().answer(due, self.answer_bytes, self.answer_records),
                code => self.counts.borrow_mut().refusal(code),
            }
            self.permits.add_permits(1);
        }
    }
}
