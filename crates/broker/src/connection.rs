//! One connection: a reader, an ordered writer, and what lies between them.
//!
//! Produce requests go to the log in the order of their arrival and are answered when they are durable; the reader does
//! not wait for that and reads on, so a producer with five requests in flight has five on their way. Answers leave in
//! the order of the requests. Every other request waits until all earlier ones are answered, as Kafka does it, and is
//! then handled to its end before the next is read.
//!
//! Back-pressure needs no machinery: when the log takes no more, when too many bytes of requests are in memory, or when
//! the client does not read its answers, the reader stops, and TCP tells the client.
//!
//! Both sides run in one task, so a panic in a handler ends this connection and no other.

mod read;
mod write;

use crate::api::{self, Answer, Refused};
use crate::budget::Held;
use crate::node::Node;
use crate::stopping::Stopping;
use bytes::Bytes;
use futures::future::{BoxFuture, Either, FutureExt};
use read::{Frame, FrameReadError, FrameReader, ReadLimits};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use write::{Patience, write_slices};

/// Who sends requests over a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peer {
    /// Its address, where the system could tell.
    pub address: Option<SocketAddr>,
    /// Which of the broker's connections, in the order in which they were accepted.
    pub connection: u64,
}

/// An answer that comes when its batches are durable, or is there.
type PendingAnswer = Either<BoxFuture<'static, Answer>, std::future::Ready<Answer>>;

/// A request's answer on its way to the writer.
struct Queued {
    api_key: i16,
    started: Duration,
    answer: PendingAnswer,
    /// The request's places in the pipeline, free again once the answer is written.
    place: OwnedSemaphorePermit,
}

/// Why a connection ended, other than by the peer's wish or the broker's stop.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Read(#[from] FrameReadError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the answer could not be sent")]
    Write(#[source] io::Error),
    #[error("a produce request without acknowledgement failed")]
    UnacknowledgedProduce,
}

impl ConnectionError {
    /// Whether it is a peer that went away, which is nobody's fault.
    fn is_disconnect(&self) -> bool {
        matches!(self, ConnectionError::Read(FrameReadError::Io(_) | FrameReadError::Torn) | ConnectionError::Write(_))
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve(node: Arc<Node>, mut stream: TcpStream, stopping: Stopping) {
    let connection = node.connections_begun.fetch_add(1, Ordering::Relaxed);
    let source = Peer { address: stream.peer_addr().ok(), connection };
    let peer = source.address;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(?peer, %error, "TCP_NODELAY was refused");
    }
    match run(&node, &mut stream, source, stopping).await {
        Ok(()) => tracing::debug!(?peer, "connection closed"),
        Err(error) if error.is_disconnect() => tracing::debug!(?peer, %error, "connection lost"),
        Err(error) => {
            node.metrics.connections_failed.inc();
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            match error {
                ConnectionError::Refused(Refused::Encode(_)) => {
                    tracing::error!(?peer, %error, cause, "connection closed")
                }
                _ => tracing::info!(?peer, %error, cause, "connection closed because of what the client sent"),
            }
        }
    }
}

async fn run(node: &Arc<Node>, stream: &mut TcpStream, peer: Peer, stopping: Stopping) -> Result<(), ConnectionError> {
    let (read_half, write_half) = stream.split();
    let limits = ReadLimits {
        frame_bytes_max: node.settings.frame_bytes_max,
        idle_timeout: node.settings.idle_timeout,
        stall_timeout: node.settings.stall_timeout,
    };
    let (queue, queued) = mpsc::channel(node.settings.pipeline_depth);
    let frames = FrameReader::new(read_half, &node.requests, limits, peer);
    let mut reader = pin!(read_requests(node, frames, queue, stopping));
    let mut writer = pin!(write_answers(node, write_half, queued));
    tokio::select! {
        biased;
        outcome = &mut writer => outcome,
        outcome = &mut reader => {
            writer.await?;
            outcome
        }
    }
}

/// Reads until the peer ends the connection, breaks the rules, or the broker stops. What was read before is answered.
async fn read_requests(
    node: &Arc<Node>,
    mut frames: FrameReader<'_>,
    queue: mpsc::Sender<Box<Queued>>,
    mut stopping: Stopping,
) -> Result<(), ConnectionError> {
    let places = Arc::new(Semaphore::new(node.settings.pipeline_depth));
    loop {
        let next = tokio::select! {
            biased;
            () = stopping.stopped() => return Ok(()),
            next = frames.next() => next?,
        };
        let Some(frame) = next else { return Ok(()) };
        let Some(queued) = handle(node, frame, &mut frames, &places, &stopping).await? else { return Ok(()) };
        if queue.send(Box::new(queued)).await.is_err() {
            return Ok(());
        }
    }
}

/// Begins a produce request, or handles another one to its end. `None` when the peer left meanwhile.
async fn handle(
    node: &Arc<Node>,
    frame: Frame,
    frames: &mut FrameReader<'_>,
    places: &Arc<Semaphore>,
    stopping: &Stopping,
) -> Result<Option<Queued>, ConnectionError> {
    let started = node.log.env().clock.since_boot();
    let mut request = api::parse(frame.bytes)?;
    request.peer = frames.peer();
    let api_key = request.header.api_key;
    let wanted = if request.is_produce() { 1 } else { node.settings.pipeline_depth as u32 };
    let place = places.clone().acquire_many_owned(wanted).await.expect("the pipeline's semaphore is never closed");
    let answer = if request.is_produce() {
        Either::Left(api::produce::begin(node, request).await?)
    } else if request.is_long_poll() {
        let handled = api::handle(node, request, stopping.clone()).boxed();
        let answer = tokio::select! {
            biased;
            answer = handled => answer?,
            () = frames.closed() => return Ok(None),
        };
        Either::Right(std::future::ready(answer))
    } else {
        Either::Right(std::future::ready(api::handle(node, request, stopping.clone()).boxed().await?))
    };
    drop(frame.held);
    Ok(Some(Queued { api_key, started, answer, place }))
}

/// Writes answers in the order of the requests, until the reader has ended and all are written. Answers that are ready
/// at the same time leave together.
async fn write_answers(
    node: &Node,
    stream: WriteHalf<'_>,
    mut queue: mpsc::Receiver<Box<Queued>>,
) -> Result<(), ConnectionError> {
    let patience = Patience {
        while_others_wait: node.settings.stall_timeout,
        otherwise: node.settings.idle_timeout,
        budget: &node.fetched,
    };
    let mut outgoing = Outgoing { stream, patience, slices: VecDeque::new(), places: Vec::new(), held: Vec::new() };
    while let Some(queued) = outgoing.next(&mut queue).await? {
        let Queued { api_key, started, answer, place } = *queued;
        let answer = outgoing.settled(answer).await?;
        let duration = node.log.env().clock.since_boot().saturating_sub(started);
        node.metrics.answered(frazil_wire::api::name(api_key), answer.error, duration);
        if answer.closes {
            outgoing.flush().await?;
            return Err(ConnectionError::UnacknowledgedProduce);
        }
        outgoing.slices.extend(answer.slices);
        outgoing.held.extend(answer.held);
        outgoing.places.push(place);
    }
    Ok(())
}

/// Answers that wait to be written, and their requests' places in the pipeline.
struct Outgoing<'a> {
    stream: WriteHalf<'a>,
    patience: Patience<'a>,
    slices: VecDeque<Bytes>,
    places: Vec<OwnedSemaphorePermit>,
    held: Vec<Held>,
}

impl Outgoing<'_> {
    /// The next request; `None` once the reader has ended. What is ready leaves before anything is waited for.
    async fn next(&mut self, queue: &mut mpsc::Receiver<Box<Queued>>) -> Result<Option<Box<Queued>>, ConnectionError> {
        if let Ok(queued) = queue.try_recv() {
            return Ok(Some(queued));
        }
        self.flush().await?;
        Ok(queue.recv().await)
    }

    /// A request's answer. What is ready leaves before anything is waited for.
    async fn settled(&mut self, mut answer: PendingAnswer) -> Result<Answer, ConnectionError> {
        if let Some(answer) = (&mut answer).now_or_never() {
            return Ok(answer);
        }
        self.flush().await?;
        Ok(answer.await)
    }

    async fn flush(&mut self) -> Result<(), ConnectionError> {
        if !self.slices.is_empty() {
            let slices = std::mem::take(&mut self.slices);
            write_slices(&mut self.stream, slices, &self.patience).await.map_err(ConnectionError::Write)?;
        }
        self.held.clear();
        self.places.clear();
        Ok(())
    }
}
