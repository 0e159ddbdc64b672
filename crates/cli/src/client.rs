//! A small Kafka client for any broker, made for a command line: few knobs, clear errors.
//!
//! `Connection` speaks to one broker. `Client` knows the cluster: it asks the bootstrap addresses in turn, keeps one
//! connection per broker, finds leaders and coordinators, and repeats what may succeed later until a deadline. One file
//! per concern stands on it: topics (`admin`), `offsets`, `groups`, `transactions`, `cluster`, `produce`, `consume`, and
//! `member`, a member of a classic consumer group with its `assignor`.

mod admin;
mod assignor;
mod cluster;
mod connection;
mod consume;
mod coordinator;
mod groups;
mod member;
mod offsets;
mod produce;
mod transactions;

pub use admin::{ConfigEntry, TopicDescription};
pub use cluster::{ClusterDescription, Feature};
pub use connection::Connection;
pub use consume::{Consumer, Fetched, ReadRecord};
pub use coordinator::{CoordinatorKind, Found};
pub use groups::{CommittedOffset, GroupDescription, GroupListing, GroupMember, MemberIdentity};
pub use member::{Interruption, Member, MemberOptions};
pub use offsets::{EARLIEST, LATEST, PartitionOffsets, TopicPartition};
pub use produce::{Acks, NewRecord, Placed, Producer, ProducerOptions};
pub use transactions::{OpenTransaction, TransactionDescription, TransactionFilter, TransactionListing};

use crate::settings::HostPort;
use crate::settings::units::format_duration;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Why the cluster did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// No bootstrap address answers.
    #[error("no broker can be reached: {attempts}")]
    Unreachable {
        /// Address and cause, for each.
        attempts: String,
    },
    /// One connection could not be made, or broke.
    #[error("{address}: {cause}")]
    Connection {
        /// The broker.
        address: HostPort,
        /// What the system said.
        cause: String,
    },
    /// The bootstrap address answers, but names an address that does not.
    #[error("the broker tells clients to connect to {advertised}, which does not work from here: {cause}")]
    Advertised {
        /// What it advertises.
        advertised: HostPort,
        /// What the system said.
        cause: String,
    },
    /// No answer in time.
    #[error("{address} did not answer within {}", format_duration(*.waited))]
    Timeout {
        /// The broker.
        address: HostPort,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The broker said no.
    #[error("{what}: {error}{}", .message.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// What was asked, such as `topic orders`.
        what: String,
        /// Kafka's error.
        error: ResponseError,
        /// The broker's own words.
        message: Option<String>,
    },
    /// The broker does not know the request.
    #[error("{address} does not support {api}")]
    Unsupported {
        /// The broker.
        address: HostPort,
        /// Kafka's name of the request.
        api: String,
    },
    /// The broker's bytes make no sense.
    #[error("{address} does not speak Kafka as expected: {cause}")]
    Protocol {
        /// The broker.
        address: HostPort,
        /// What does not fit.
        cause: String,
    },
}

impl ClientError {
    /// A response that leaves out what was asked for.
    fn no_answer(what: String) -> ClientError {
        let message = Some("the response does not name it".to_string());
        ClientError::Refused { what, error: ResponseError::UnknownServerError, message }
    }

    /// Whether Kafka's error is this one.
    pub fn is(&self, expected: ResponseError) -> bool {
        matches!(self, ClientError::Refused { error, .. } if *error == expected)
    }

    /// Whether the same may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            ClientError::Connection { .. } | ClientError::Timeout { .. } => true,
            // Kafka calls this one retriable, for topics that are just being made; a person has mistyped a name.
            ClientError::Refused { error: ResponseError::UnknownTopicOrPartition, .. } => false,
            ClientError::Refused { error, .. } => error.is_retriable(),
            ClientError::Unreachable { .. }
            | ClientError::Advertised { .. }
            | ClientError::Unsupported { .. }
            | ClientError::Protocol { .. } => false,
        }
    }

    /// What the user may do next.
    pub fn next_step(&self) -> Option<String> {
        match self {
            ClientError::Unreachable { .. } => {
                Some("start a broker with `frazil dev`, or name one with --bootstrap host:port".to_string())
            }
            ClientError::Advertised { .. } => {
                let step =
                    "set FRAZIL__KAFKA__ADVERTISE (--kafka-advertise) of the broker to an address that clients reach";
                Some(step.to_string())
            }
            ClientError::Refused { what, error, .. } => advice(what, *error),
            ClientError::Unsupported { .. } => {
                Some("use a broker that serves it: a newer one of Frazil, or Apache Kafka 4".to_string())
            }
            _ => None,
        }
    }
}

/// The next command after Kafka's refusal of `what`.
fn advice(what: &str, error: ResponseError) -> Option<String> {
    let group = what.strip_prefix("group ").unwrap_or("GROUP");
    let advice = match error {
        ResponseError::UnknownTopicOrPartition => {
            "see the topics with `frazil topic list`, or make it with `frazil topic create NAME`".to_string()
        }
        ResponseError::TopicAlreadyExists => {
            "look at it with `frazil topic describe NAME`, or use --if-not-exists".to_string()
        }
        ResponseError::OffsetOutOfRange => "see first and next offsets with `frazil topic describe NAME`".to_string(),
        ResponseError::GroupIdNotFound => "see the groups with `frazil group list`".to_string(),
        ResponseError::NonEmptyGroup => {
            format!("stop its members first; see them with `frazil group describe {group}`")
        }
        ResponseError::FencedInstanceId => {
            "another process runs with the same --instance-id; stop it, or give this one another".to_string()
        }
        ResponseError::InconsistentGroupProtocol => format!(
            "this command shares partitions by `range` and the group's members do not; see them with \
             `frazil group describe {group}`, or choose another group"
        ),
        ResponseError::InvalidSessionTimeout => "the broker allows other values; try --session-timeout 45s".to_string(),
        ResponseError::GroupMaxSizeReached => format!("see its members with `frazil group describe {group}`"),
        ResponseError::TransactionalIdNotFound => "see the transactions with `frazil txn list`".to_string(),
        _ => return None,
    };
    Some(advice)
}

/// Turns a Kafka error code into a result; `what` names what was asked.
pub(crate) fn check(code: i16, what: impl FnOnce() -> String, message: Option<&StrBytes>) -> Result<(), ClientError> {
    match ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(error) => Err(ClientError::Refused { what: what(), error, message: message.map(|text| text.to_string()) }),
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_string())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A broker of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Kafka's node id.
    pub id: i32,
    /// The address it advertises.
    pub address: HostPort,
    /// Its zone.
    pub rack: Option<String>,
}

/// Which records of transactions are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Isolation {
    /// Only those that were committed; the end of a partition is where the oldest open transaction begins.
    ReadCommitted = 1,
    /// All of them, as they are written.
    #[default]
    ReadUncommitted = 0,
}

/// A handle to a cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
    isolation: Isolation,
}

#[derive(Debug)]
struct Inner {
    bootstrap: Vec<HostPort>,
    timeout: Duration,
    /// By address; a broken one stays until the next takes its place.
    connections: Mutex<BTreeMap<String, Arc<Connection>>>,
    nodes: Mutex<BTreeMap<i32, Node>>,
    leaders: Mutex<BTreeMap<String, BTreeMap<i32, i32>>>,
    coordinators: Mutex<BTreeMap<(CoordinatorKind, String), Node>>,
}

impl Client {
    /// A client of the cluster behind these addresses. Everything it does ends after `timeout`. Connects lazily.
    pub fn new(bootstrap: Vec<HostPort>, timeout: Duration) -> Client {
        let inner = Inner {
            bootstrap,
            timeout,
            connections: Mutex::default(),
            nodes: Mutex::default(),
            leaders: Mutex::default(),
            coordinators: Mutex::default(),
        };
        Client { inner: Arc::new(inner), isolation: Isolation::default() }
    }

    /// The same client, for which partitions hold and end with what `isolation` lets it read.
    pub fn reading(self, isolation: Isolation) -> Client {
        Client { isolation, ..self }
    }

    /// Which records of transactions it reads.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// How long anything may take.
    pub fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// Any broker: one that is connected, else the first address that answers, of those that were given and of the
    /// brokers they named. A cluster that was reached before is taken for one that comes back: the error is transient.
    pub async fn any(&self) -> Result<Arc<Connection>, ClientError> {
        let open = self.inner.connections.lock().values().find(|connection| connection.is_open()).cloned();
        if let Some(connection) = open {
            return Ok(connection);
        }
        let mut addresses = self.inner.bootstrap.clone();
        addresses.extend(self.nodes().into_iter().map(|node| node.address));
        addresses.dedup();
        let (mut attempts, mut lost) = (Vec::new(), None);
        for address in &addresses {
            match self.connect(address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    attempts.push(error.to_string());
                    lost = lost.or(Some(error).filter(|_| self.has_worked(address)));
                }
            }
        }
        Err(lost.unwrap_or(ClientError::Unreachable { attempts: attempts.join("; ") }))
    }

    /// The connection to a broker by its node id.
    pub async fn node(&self, id: i32) -> Result<Arc<Connection>, ClientError> {
        let Some(node) = self.inner.nodes.lock().get(&id).cloned() else {
            return self.any().await;
        };
        match self.connect(&node.address).await {
            Err(ClientError::Connection { cause, .. })
                if !self.inner.bootstrap.contains(&node.address) && !self.has_worked(&node.address) =>
            {
                Err(ClientError::Advertised { advertised: node.address, cause })
            }
            other => other,
        }
    }

    fn has_worked(&self, address: &HostPort) -> bool {
        self.inner.connections.lock().contains_key(&address.to_string())
    }

    async fn connect(&self, address: &HostPort) -> Result<Arc<Connection>, ClientError> {
        let name = address.to_string();
        let known = self.inner.connections.lock().get(&name).filter(|connection| connection.is_open()).cloned();
        if let Some(connection) = known {
            return Ok(connection);
        }
        let connection = Arc::new(Connection::open(address).await?);
        self.inner.connections.lock().insert(name, connection.clone());
        Ok(connection)
    }

    /// Connects to a broker of its own, not shared with other users of this client.
    pub async fn dedicated(&self, node: i32) -> Result<Connection, ClientError> {
        let address = self.node(node).await?.address().clone();
        Connection::open(&address).await
    }

    /// Repeats `attempt` while its error is transient, until the client's timeout.
    pub async fn retrying<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.retrying_while(ClientError::is_transient, attempt).await
    }

    async fn retrying_while<T, F>(
        &self,
        is_transient: impl Fn(&ClientError) -> bool,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut patience = self.patience();
        loop {
            match attempt().await {
                Err(error) if is_transient(&error) && patience.is_left() => patience.pause(self, &error).await,
                result => return result,
            }
        }
    }

    fn patience(&self) -> Patience {
        Patience { deadline: Instant::now() + self.inner.timeout, pause: BACKOFF_FIRST }
    }

    /// Leaders and coordinators are asked for again afterwards.
    fn forget_places(&self) {
        self.inner.leaders.lock().clear();
        self.inner.coordinators.lock().clear();
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout().as_millis()).unwrap_or(i32::MAX)
    }

    /// Metadata of some topics, or of all. Remembers brokers and leaders.
    pub async fn metadata(&self, topics: Option<&[String]>, create: bool) -> Result<MetadataResponse, ClientError> {
        let named = |name: &String| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let request = MetadataRequest::default()
            .with_topics(topics.map(|topics| topics.iter().map(named).collect()))
            .with_allow_auto_topic_creation(create);
        let response = self.any().await?.call(&request, self.inner.timeout).await?;
        self.remember(&response);
        Ok(response)
    }

    fn remember(&self, metadata: &MetadataResponse) {
        let nodes = metadata.brokers.iter().map(|broker| {
            let address = HostPort { host: broker.host.to_string(), port: u16::try_from(broker.port).unwrap_or(0) };
            let rack = broker.rack.as_ref().map(|rack| rack.to_string());
            (broker.node_id.0, Node { id: broker.node_id.0, address, rack })
        });
        *self.inner.nodes.lock() = nodes.collect();
        let mut leaders = self.inner.leaders.lock();
        for topic in metadata.topics.iter().filter(|topic| topic.error_code == 0) {
            let Some(name) = &topic.name else { continue };
            let partitions = topic.partitions.iter().filter(|partition| partition.leader_id.0 >= 0);
            let by_partition = partitions.map(|partition| (partition.partition_index, partition.leader_id.0));
            leaders.insert(name.to_string(), by_partition.collect());
        }
    }

    /// The brokers, as the last metadata named them.
    pub fn nodes(&self) -> Vec<Node> {
        self.inner.nodes.lock().values().cloned().collect()
    }

    /// Leaders by partition. Waits for a topic that is just being created; `create` asks for it.
    pub async fn leaders(&self, topic: &str, create: bool) -> Result<BTreeMap<i32, i32>, ClientError> {
        if let Some(leaders) = self.inner.leaders.lock().get(topic) {
            return Ok(leaders.clone());
        }
        let is_transient = |error: &ClientError| match error {
            ClientError::Refused { error: ResponseError::UnknownTopicOrPartition, .. } => create,
            other => other.is_transient(),
        };
        let ask = || async {
            let metadata = self.metadata(Some(&[topic.to_string()]), create).await?;
            let answer =
                metadata.topics.first().map_or(ResponseError::UnknownTopicOrPartition.code(), |t| t.error_code);
            check(answer, || format!("topic {topic}"), None)?;
            let leaders = self.inner.leaders.lock().get(topic).cloned().unwrap_or_default();
            match leaders.is_empty() {
                true => {
                    check(ResponseError::LeaderNotAvailable.code(), || format!("topic {topic}"), None).map(|()| leaders)
                }
                false => Ok(leaders),
            }
        };
        self.retrying_while(is_transient, ask).await
    }

    /// Leaders by topic and partition; topics and partitions that do not exist are left out. Repeats nothing.
    async fn leaders_of(&self, topics: &[String]) -> Result<BTreeMap<String, BTreeMap<i32, i32>>, ClientError> {
        let known = self.inner.leaders.lock().clone();
        let missing: Vec<String> = topics.iter().filter(|topic| !known.contains_key(*topic)).cloned().collect();
        if missing.is_empty() {
            return Ok(known);
        }
        let metadata = self.metadata(Some(&missing), false).await?;
        let unknown = ResponseError::UnknownTopicOrPartition.code();
        for topic in metadata.topics.iter().filter(|topic| topic.error_code != unknown) {
            let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
            check(topic.error_code, || format!("topic {name}"), None)?;
        }
        Ok(self.inner.leaders.lock().clone())
    }
}

/// How long to go on trying: pauses double, and end at a deadline.
struct Patience {
    deadline: Instant,
    pause: Duration,
}

impl Patience {
    fn is_left(&self) -> bool {
        Instant::now() + self.pause < self.deadline
    }

    /// Waits. Leaders and coordinators are asked for again afterwards, because they may be what was wrong.
    async fn pause(&mut self, client: &Client, error: &ClientError) {
        tracing::debug!(%error, "trying again");
        client.forget_places();
        tokio::time::sleep(self.pause).await;
        self.pause = (2 * self.pause).min(BACKOFF_MAX);
    }
}
