//! A client's way to the Kafka server of a broker, over a network that loses and delays.

use super::chance::Chance;
use super::clients::until_dead;
use super::history::Event;
use super::world::{Broker, World};
use frazil_base::Epoch;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::{Request, StrBytes};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// Kafka's error codes that clients of the simulation know.
pub mod code {
    use kafka_protocol::error::ResponseError as Error;

    /// Is this error?
    pub fn is(code: i16, error: Error) -> bool {
        code == error.code()
    }

    /// Whether a request to a coordinator is to be sent again, to whoever is the coordinator then.
    pub fn is_about_coordinator(code: i16) -> bool {
        let codes = [
            Error::NotCoordinator,
            Error::CoordinatorNotAvailable,
            Error::CoordinatorLoadInProgress,
            Error::ConcurrentTransactions,
            Error::RequestTimedOut,
        ];
        codes.iter().any(|error| error.code() == code)
    }

    /// Whether a batch is to be sent again.
    pub fn is_retriable_produce(code: i16) -> bool {
        let codes = [
            Error::NotLeaderOrFollower,
            Error::KafkaStorageError,
            Error::NotEnoughReplicasAfterAppend,
            Error::RequestTimedOut,
            Error::UnknownTopicOrPartition,
        ];
        codes.iter().any(|error| error.code() == code)
    }

    /// Whether the producer has lost its transactional id to another, or its epoch to the coordinator.
    pub fn is_fenced(code: i16) -> bool {
        let codes = [Error::ProducerFenced, Error::InvalidProducerEpoch, Error::InvalidProducerIdMapping];
        codes.iter().any(|error| error.code() == code)
    }
}

/// What is coordinated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A group.
    Group = 0,
    /// A transactional id.
    Transaction = 1,
}

/// Whether a request may arrive after its client has given it up. Requests that the protocol cannot tell from later ones
/// must not: TCP may do it, and Kafka has no defence either (KAFKA-17754 before KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lateness {
    /// It may.
    Perhaps,
    /// It may not.
    Never,
}

/// One client's requests.
#[derive(Debug)]
pub struct Caller {
    /// Where the brokers are.
    pub world: Arc<World>,
    /// What it leaves to chance.
    pub chance: Chance,
    coordinators: BTreeMap<(Kind, String), Arc<Broker>>,
    /// Per broker id the newest process that it talked to. An address leads to the older one no longer.
    newest: BTreeMap<i32, Epoch>,
    /// The connection that it speaks over; another one after each request that it gave up.
    connection: AtomicU64,
}

impl Caller {
    /// A client that knows nothing yet.
    pub fn new(world: Arc<World>, chance: Chance) -> Caller {
        let connection = AtomicU64::new(world.next_connection());
        Caller { world, chance, coordinators: BTreeMap::new(), newest: BTreeMap::new(), connection }
    }

    /// Whether the client stalls here, or is killed.
    pub fn stalls(&self) -> bool {
        self.chance.per_mille(self.world.network.lock().stalled)
    }

    /// Sends a request; `None` when no answer came, and then what follows goes over a new connection.
    pub async fn call<R>(
        &self,
        broker: &Arc<Broker>,
        version: i16,
        request: &R,
        lateness: Lateness,
        patience: Duration,
    ) -> Option<R::Response>
    where
        R: Request + Clone + Send + Sync + 'static,
        R::Response: Send,
    {
        let answer = self.attempt(broker, version, request, lateness, patience).await;
        if answer.is_none() {
            self.connection.store(self.world.next_connection(), Ordering::Relaxed);
        }
        answer
    }

    async fn attempt<R>(
        &self,
        broker: &Arc<Broker>,
        version: i16,
        request: &R,
        lateness: Lateness,
        patience: Duration,
    ) -> Option<R::Response>
    where
        R: Request + Clone + Send + Sync + 'static,
        R::Response: Send,
    {
        self.world.calls.fetch_add(1, Ordering::Relaxed);
        let network = *self.world.network.lock();
        let is_late = lateness == Lateness::Perhaps && self.chance.per_mille(network.late);
        if !is_late && self.chance.per_mille(network.lost) {
            tokio::time::sleep(self.chance.millis(0..1_000)).await;
            return None;
        }
        let delay = if is_late { self.chance.millis(1..60_000) } else { self.chance.millis(0..3) };
        let connection = self.connection.load(Ordering::Relaxed);
        let answer = deliver(broker.clone(), connection, version, request.clone(), delay);
        if is_late {
            tokio::time::sleep(self.chance.millis(0..1_000)).await;
            return None;
        }
        let answer = tokio::time::timeout(patience, until_dead(broker, answer)).await.ok()?;
        answer?.ok().filter(|_| !self.chance.per_mille(network.unanswered))
    }

    /// Asks the coordinator of `key` until it answers anything but that it is not the coordinator.
    pub async fn ask<R>(
        &mut self,
        (kind, key): (Kind, &str),
        version: i16,
        request: &R,
        lateness: Lateness,
        code_of: impl Fn(&R::Response) -> i16,
    ) -> R::Response
    where
        R: Request + Clone + Send + Sync + 'static,
        R::Response: Send,
    {
        loop {
            if let Some(response) = self.ask_once((kind, key), version, request, lateness, ANSWERED_WITHIN).await
                && !code::is_about_coordinator(code_of(&response))
            {
                return response;
            }
            self.forget_coordinator(kind, key);
            tokio::time::sleep(self.chance.millis(20..200)).await;
        }
    }

    /// Asks the coordinator of `key` once.
    pub async fn ask_once<R>(
        &mut self,
        (kind, key): (Kind, &str),
        version: i16,
        request: &R,
        lateness: Lateness,
        patience: Duration,
    ) -> Option<R::Response>
    where
        R: Request + Clone + Send + Sync + 'static,
        R::Response: Send,
    {
        let broker = self.coordinator(kind, key).await;
        self.call(&broker, version, request, lateness, patience).await
    }

    /// The coordinator is to be looked for again.
    pub fn forget_coordinator(&mut self, kind: Kind, key: &str) {
        self.coordinators.remove(&(kind, key.to_owned()));
    }

    async fn coordinator(&mut self, kind: Kind, key: &str) -> Arc<Broker> {
        if let Some(known) = self.coordinators.get(&(kind, key.to_owned())).filter(|known| !known.link.is_cut()) {
            return known.clone();
        }
        let request = FindCoordinatorRequest::default().with_key(text(key)).with_key_type(kind as i8);
        loop {
            let any = self.world.any_broker(&self.chance).await;
            let found = self.call(&any, 2, &request, Lateness::Never, ANSWERED_WITHIN).await;
            if let Some(broker) = found.and_then(|found| self.found(&found)) {
                self.coordinators.insert((kind, key.to_owned()), broker.clone());
                return broker;
            }
            tokio::time::sleep(self.chance.millis(50..300)).await;
        }
    }

    fn found(&mut self, found: &FindCoordinatorResponse) -> Option<Arc<Broker>> {
        if found.error_code != 0 {
            return None;
        }
        let newest = self.newest.entry(found.node_id.0).or_default();
        let broker = self.world.broker(found.node_id.0, *newest, &self.chance)?;
        *newest = broker.log.epoch();
        Some(broker)
    }

    /// Notes a code that real clients would end with.
    pub fn unexpected(&self, api: &str, code: i16) {
        self.world.note(Event::Stuck { what: format!("a client, with code {code} in its answer to {api}") });
    }
}

/// A client's `request.timeout.ms`.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// Takes a request to a broker, which handles it whether or not anybody waits for the answer. A broker that is paused
/// handles nothing, and answers nothing.
fn deliver<R>(
    broker: Arc<Broker>,
    connection: u64,
    version: i16,
    request: R,
    delay: Duration,
) -> impl Future<Output = Result<R::Response, oneshot::error::RecvError>>
where
    R: Request + Send + Sync + 'static,
    R::Response: Send,
{
    let (give, answer) = oneshot::channel();
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        broker.link.pass().await;
        // Else the connection closes without an answer.
        let Ok(response) = broker.door.call(connection, version, &request).await else { return };
        broker.link.pass().await;
        // Nobody may be left who waits.
        let _ = give.send(response);
    });
    answer
}

/// Text of a request.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
