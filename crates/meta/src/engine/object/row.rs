//! The writer's task: a row of PUTs of consecutive numbers in flight, acknowledged strictly in order.
//!
//! A number is assigned when its PUT starts: the last acknowledged one plus the place in the row. When the row breaks (an
//! old writer's late object stands on a number, or the store refused one) the epoch is given up: the process opens the
//! next one behind whatever is there, and what was not acknowledged is put again under it. What the old row left behind
//! the break is void for every reader, because a position of its epoch is missing before it and can never come: this
//! task is the only one that puts entries of that epoch, and it has left it.
//!
//! The task ends when the handle drops the queue and everything is answered, or at once when the handle is dropped.

use super::bucket::Placed;
use super::core::Core;
use super::envelope::Envelope;
use super::opening::{self, Claim, OpenError, Standing};
use crate::engine::checksum;
use crate::port::{AppendError, Entry};
use frazil_base::Seq;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// First and last number of a call's entries.
pub(crate) type Span = (Seq, Seq);

/// One call of `append` in the queue.
pub(crate) struct Request {
    pub entries: Vec<Entry>,
    pub answer: oneshot::Sender<Result<Span, AppendError>>,
}

/// A call whose entries are not all acknowledged.
struct Call {
    unacknowledged: usize,
    first: Option<Seq>,
    answer: oneshot::Sender<Result<Span, AppendError>>,
}

/// An entry whose PUT is under way.
struct InFlight {
    envelope: Envelope,
    entry: Entry,
}

/// State of the task.
pub(crate) struct Row {
    core: Arc<Core>,
    queue: mpsc::UnboundedReceiver<Request>,
    claim: Claim,
    standing: Standing,
    /// Whether `standing.course` is this process's own, unbroken.
    is_open: bool,
    fenced: Option<Arc<str>>,
    puts_max: usize,
    puts: FuturesOrdered<BoxFuture<'static, Placed>>,
    in_flight: VecDeque<InFlight>,
    waiting: VecDeque<Entry>,
    /// Of the entries in flight and then those waiting, in order.
    calls: VecDeque<Call>,
}

impl Row {
    /// A row that goes on behind `standing`, where `claim` has just been placed.
    pub(crate) fn new(
        core: Arc<Core>,
        queue: mpsc::UnboundedReceiver<Request>,
        claim: Claim,
        standing: Standing,
        puts_max: usize,
    ) -> Row {
        Row {
            core,
            queue,
            claim: Claim { epoch: Some(standing.course.epoch), ..claim },
            standing,
            is_open: true,
            fenced: None,
            puts_max,
            puts: FuturesOrdered::new(),
            in_flight: VecDeque::new(),
            waiting: VecDeque::new(),
            calls: VecDeque::new(),
        }
    }

    /// Runs until the queue is closed and everything is answered.
    pub(crate) async fn run(mut self) {
        let mut accepting = true;
        while accepting || !self.calls.is_empty() {
            if !self.is_open && !self.waiting.is_empty() {
                self.open_again().await;
            }
            self.start_puts();
            tokio::select! {
                // What has landed first: it makes room in the row.
                biased;
                Some(placed) = self.puts.next(), if !self.puts.is_empty() => self.landed(placed).await,
                request = self.queue.recv(), if accepting => match request {
                    Some(request) => self.accept(request),
                    None => accepting = false,
                },
            }
        }
    }

    fn accept(&mut self, request: Request) {
        if let Some(cause) = &self.fenced {
            drop(request.entries);
            drop(request.answer.send(Err(AppendError::Fenced { cause: cause.clone() })));
            return;
        }
        self.calls.push_back(Call { unacknowledged: request.entries.len(), first: None, answer: request.answer });
        self.waiting.extend(request.entries);
    }

    fn start_puts(&mut self) {
        while self.is_open && self.puts.len() < self.puts_max {
            let Some(entry) = self.waiting.pop_front() else { break };
            let envelope = self.next_envelope(&entry);
            let (core, confirmed) = (self.core.clone(), self.standing.confirmed);
            let Entry { record, body } = entry.clone();
            self.puts.push_back(Box::pin(async move { core.bucket.place(envelope, record, body, confirmed).await }));
            self.in_flight.push_back(InFlight { envelope, entry });
        }
    }

    fn next_envelope(&self, entry: &Entry) -> Envelope {
        let ahead = self.in_flight.len() as u64;
        Envelope {
            number: self.standing.number + ahead + 1,
            epoch: self.standing.course.epoch,
            position: self.standing.course.next_position + ahead,
            nonce: self.claim.nonce,
            durable: self.standing.number,
            opened: false,
            record_bytes: entry.record.len() as u32,
            record_crc: checksum::of(&entry.record),
            body: entry.body.as_ref().map(|body| (body.len() as u64, checksum::of_body(body))),
        }
    }

    /// The outcome of the row's first PUT.
    async fn landed(&mut self, placed: Placed) {
        match placed {
            Placed::Mine { confirmed } => {
                self.standing.confirmed = self.standing.confirmed.max(confirmed);
                self.acknowledge();
            }
            Placed::Taken(head) if head.envelope.epoch <= self.standing.course.epoch => self.break_row().await,
            Placed::Taken(head) | Placed::Overtaken(head) => {
                let cause = self.core.bucket.opener_of(&head).await;
                self.fence(cause.into());
            }
            Placed::Refused(cause) => self.fail_all(|partly| match partly {
                false => AppendError::NotDone { cause: cause.clone() },
                true => AppendError::Unknown { cause: format!("a part of it was appended, then: {cause}").into() },
            }),
            Placed::Unsure(cause) => self.fail_all(|_| AppendError::Unknown { cause: cause.clone() }),
        }
    }

    fn acknowledge(&mut self) {
        let InFlight { envelope, entry } = self.in_flight.pop_front().expect("a PUT has its entry");
        let Entry { record, body } = entry;
        drop(body);
        self.standing.number = envelope.number;
        self.standing.course.next_position = envelope.position + 1;
        self.core.publish(&envelope, record);
        let seq = Seq(envelope.number);
        let call = self.calls.front_mut().expect("an entry has its call");
        let first = *call.first.get_or_insert(seq);
        call.unacknowledged -= 1;
        if call.unacknowledged == 0 {
            let call = self.calls.pop_front().expect("it was just there");
            // Whoever waited may be gone; the entry is in the log all the same.
            drop(call.answer.send(Ok((first, seq))));
        }
    }

    /// An old writer's object stands on the row's first number: everything in the row is put again, in a new epoch.
    async fn break_row(&mut self) {
        // Let the others land first; else they would stand in the way one after the other.
        while self.puts.next().await.is_some() {}
        let again = std::mem::take(&mut self.in_flight).into_iter().map(|in_flight| in_flight.entry);
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = again.chain(waiting).collect();
        self.is_open = false;
    }

    async fn open_again(&mut self) {
        match opening::claim(&self.core, self.standing, &self.claim).await {
            Ok(standing) => {
                self.claim.epoch = Some(standing.course.epoch);
                self.standing = standing;
                self.is_open = true;
            }
            Err(OpenError::Overtaken { cause }) => self.fence(cause),
            Err(error) => {
                let cause: Arc<str> = error.to_string().into();
                self.fail_all(|partly| match partly {
                    false => AppendError::NotDone { cause: cause.clone() },
                    true => AppendError::Unknown { cause: cause.clone() },
                });
            }
        }
    }

    fn fence(&mut self, cause: Arc<str>) {
        tracing::error!(%cause, "fenced");
        self.fail_all(|_| AppendError::Fenced { cause: cause.clone() });
        self.fenced = Some(cause);
    }

    /// Gives up everything that is not acknowledged. `error` is told whether a part of the call was.
    fn fail_all(&mut self, error: impl Fn(bool) -> AppendError) {
        self.puts = FuturesOrdered::new();
        self.in_flight.clear();
        self.waiting.clear();
        self.is_open = false;
        for call in std::mem::take(&mut self.calls) {
            drop(call.answer.send(Err(error(call.first.is_some()))));
        }
    }
}
