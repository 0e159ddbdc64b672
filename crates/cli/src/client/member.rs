//! A member of a classic consumer group: joins, is told its partitions, keeps its place by heartbeats, commits, leaves.
//!
//! The protocol is Kafka's: `JoinGroup` waits until all members of the next generation are there; one of them, the
//! leader, is told all subscriptions and shares out the partitions; `SyncGroup` hands everyone its part. Whoever wants
//! the next generation makes the coordinator answer heartbeats with `RebalanceInProgress`, and everybody joins again.
//!
//! Heartbeats are sent by a task of their own, so that a reader of our output who takes his time does not cost us the
//! membership. Joining has a connection of its own: brokers take no second request of a connection that waits in it.
//! Members give up all partitions for a rebalance (the eager protocol); cooperative rebalances are not offered.

use super::assignor::{self, Subscriber};
use super::groups::{CONSUMER, group_id};
use super::{Client, ClientError, CoordinatorKind, MemberIdentity, TopicPartition, check, text};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity as LeavingMember;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// As Kafka's clients; shorter where the session is short.
const HEARTBEAT_INTERVAL_MAX: Duration = Duration::from_secs(3);
/// Between two tries of what fails at once and may go on for as long as others rebalance.
const PAUSE: Duration = Duration::from_millis(100);
/// Above the time that the broker may take to answer a join.
const JOIN_GRACE: Duration = Duration::from_secs(5);
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How to be a member.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// The group.
    pub group: String,
    /// What to read.
    pub topics: Vec<String>,
    /// The name of a static member: one that may be away for the session's time without a rebalance.
    pub instance_id: Option<String>,
    /// A member that is not heard of for so long is out.
    pub session_timeout: Duration,
    /// How long the others wait for us in a rebalance.
    pub rebalance_timeout: Duration,
}

/// Why a member must join again, or cannot go on.
#[derive(Clone, Debug)]
pub enum Interruption {
    /// Another generation is being made; ours ends with the next join.
    Rebalance,
    /// We are no member any more: the group went on without us.
    Lost,
    /// There is no way back.
    Failed(ClientError),
}

/// A member of a group.
#[derive(Debug)]
pub struct Member {
    client: Client,
    options: MemberOptions,
    identity: MemberIdentity,
    heart: Option<Heart>,
    /// Numbers of partitions that the leader's assignment was made for.
    shared_out: Option<BTreeMap<String, usize>>,
}

impl Member {
    /// Somebody who has not joined yet.
    pub fn new(client: Client, options: MemberOptions) -> Member {
        let identity = MemberIdentity { instance_id: options.instance_id.clone(), ..MemberIdentity::NOBODY };
        Member { client, options, identity, heart: None, shared_out: None }
    }

    /// The generation that was joined last.
    pub fn generation(&self) -> i32 {
        self.identity.generation
    }

    /// Joins the next generation, however long the others take. Returns the partitions to read.
    pub async fn join(&mut self) -> Result<Vec<TopicPartition>, ClientError> {
        self.heart = None;
        let mut patience = self.client.patience();
        loop {
            let error = match self.try_to_join().await {
                Ok(assigned) => {
                    self.heart = Some(Heart::start(self.client.clone(), &self.options, &self.identity));
                    return Ok(assigned);
                }
                Err(error) => error,
            };
            tracing::debug!(%error, group = self.options.group, "joining again");
            match Verdict::of(&error) {
                // The broker gave us our id; nobody waits for anything.
                Verdict::Identified => {}
                Verdict::Lost => {
                    self.forget();
                    tokio::time::sleep(PAUSE).await;
                }
                Verdict::Rebalance => tokio::time::sleep(PAUSE).await,
                Verdict::Later if patience.is_left() => patience.pause(&self.client, &error).await,
                Verdict::Later | Verdict::Failed => return Err(error),
            }
        }
    }

    fn forget(&mut self) {
        self.identity = MemberIdentity { instance_id: self.options.instance_id.clone(), ..MemberIdentity::NOBODY };
    }

    async fn try_to_join(&mut self) -> Result<Vec<TopicPartition>, ClientError> {
        let coordinator = self.client.coordinator(CoordinatorKind::Group, &self.options.group).await?;
        let connection = self.client.dedicated(coordinator.id).await?;
        let wait = self.options.rebalance_timeout + self.options.session_timeout + JOIN_GRACE;
        let joined = connection.call(&self.join_request(), wait).await?;
        if !joined.member_id.is_empty() {
            self.identity.member_id = joined.member_id.to_string();
        }
        check(joined.error_code, || format!("group {}", self.options.group), None)?;
        self.identity.generation = joined.generation_id;
        let request = self.sync_request(&joined).await?;
        let synced = connection.call(&request, wait).await?;
        check(synced.error_code, || format!("group {}", self.options.group), None)?;
        let mut assigned = assignor::decode_assignment(&synced.assignment).map_err(|error| self.malformed(&error))?;
        assigned.sort();
        Ok(assigned)
    }

    fn malformed(&self, error: &assignor::Malformed) -> ClientError {
        ClientError::Refused {
            what: format!("group {}", self.options.group),
            error: ResponseError::InconsistentGroupProtocol,
            message: Some(format!("another member's bytes make no sense: {error:#}")),
        }
    }

    fn join_request(&self) -> JoinGroupRequest {
        let range = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str(assignor::RANGE))
            .with_metadata(assignor::encode_subscription(&self.options.topics));
        JoinGroupRequest::default()
            .with_group_id(group_id(&self.options.group))
            .with_session_timeout_ms(milliseconds(self.options.session_timeout))
            .with_rebalance_timeout_ms(milliseconds(self.options.rebalance_timeout))
            .with_member_id(text(&self.identity.member_id))
            .with_group_instance_id(self.options.instance_id.as_deref().map(text))
            .with_protocol_type(StrBytes::from_static_str(CONSUMER))
            .with_protocols(vec![range])
    }

    /// The leader's holds everybody's partitions.
    async fn sync_request(&mut self, joined: &JoinGroupResponse) -> Result<SyncGroupRequest, ClientError> {
        self.shared_out = None;
        let is_leader = joined.leader == joined.member_id;
        let assignments = if is_leader { self.share_out(joined).await? } else { Vec::new() };
        Ok(SyncGroupRequest::default()
            .with_group_id(group_id(&self.options.group))
            .with_generation_id(self.identity.generation)
            .with_member_id(text(&self.identity.member_id))
            .with_group_instance_id(self.options.instance_id.as_deref().map(text))
            .with_protocol_type(Some(StrBytes::from_static_str(CONSUMER)))
            .with_protocol_name(joined.protocol_name.clone())
            .with_assignments(assignments))
    }

    async fn share_out(&mut self, joined: &JoinGroupResponse) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        let mut subscribers = Vec::new();
        for member in &joined.members {
            subscribers.push(Subscriber {
                member_id: member.member_id.to_string(),
                instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
                topics: assignor::decode_subscription(&member.metadata).map_err(|error| self.malformed(&error))?,
            });
        }
        let topics = subscribers.iter().flat_map(|member| &member.topics).cloned().collect();
        let counts = self.partition_counts(topics).await?;
        let assignment = assignor::range(&counts, &subscribers);
        self.shared_out = Some(counts);
        // The coordinator keeps the assignment when a static leader only came back (KIP-814).
        if joined.skip_assignment {
            return Ok(Vec::new());
        }
        let part = |(member_id, places): (String, Vec<TopicPartition>)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(&member_id))
                .with_assignment(assignor::encode_assignment(&places))
        };
        Ok(assignment.into_iter().map(part).collect())
    }

    /// Numbers of partitions of the topics that exist.
    async fn partition_counts(&self, topics: Vec<String>) -> Result<BTreeMap<String, usize>, ClientError> {
        let metadata = self.client.retrying(|| self.client.metadata(Some(&topics), false)).await?;
        let known = metadata.topics.iter().filter(|topic| topic.error_code == 0);
        Ok(known.filter_map(|topic| Some((topic.name.as_ref()?.to_string(), topic.partitions.len()))).collect())
    }

    /// Whether the leader's assignment is out of date, because topics came, grew or went. Others need not care.
    pub async fn is_out_of_date(&self) -> bool {
        let Some(shared_out) = &self.shared_out else { return false };
        let topics = shared_out.keys().chain(&self.options.topics).cloned().collect();
        // A cluster that does not answer now is asked again later.
        self.partition_counts(topics).await.is_ok_and(|counts| counts != *shared_out)
    }

    /// Waits until the membership is interrupted. Losing the membership also makes us forget who we were.
    pub async fn interrupted(&mut self) -> Interruption {
        let Some(heart) = &mut self.heart else { return Interruption::Lost };
        let interruption = match heart.interruption.wait_for(Option::is_some).await {
            Ok(interruption) => interruption.clone().unwrap_or(Interruption::Lost),
            Err(_) => Interruption::Lost,
        };
        if matches!(interruption, Interruption::Lost) {
            self.forget();
        }
        interruption
    }

    /// Commits offsets as this member of this generation.
    pub async fn commit(&self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<(), ClientError> {
        self.client.commit_offsets(&self.options.group, &self.identity, offsets).await
    }

    /// Leaves, so that the others get the partitions at once. A static member stays a member until its session ends.
    pub async fn leave(mut self) {
        self.heart = None;
        if self.identity.member_id.is_empty() || self.options.instance_id.is_some() {
            return;
        }
        let leaving = LeavingMember::default().with_member_id(text(&self.identity.member_id));
        let request = LeaveGroupRequest::default()
            .with_group_id(group_id(&self.options.group))
            .with_members(vec![leaving.with_reason(Some(StrBytes::from_static_str("the command ended")))]);
        let sent = async {
            let coordinator = self.client.coordinator(CoordinatorKind::Group, &self.options.group).await?;
            self.client.node(coordinator.id).await?.call(&request, LEAVE_TIMEOUT).await
        };
        // Without an answer the session ends by itself.
        if let Err(error) = sent.await {
            tracing::debug!(%error, "not left");
        }
    }
}

/// What an error means to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Identified,
    Rebalance,
    Lost,
    Later,
    Failed,
}

impl Verdict {
    fn of(error: &ClientError) -> Verdict {
        match error {
            ClientError::Refused { error: ResponseError::MemberIdRequired, .. } => Verdict::Identified,
            ClientError::Refused { error: ResponseError::RebalanceInProgress, .. } => Verdict::Rebalance,
            ClientError::Refused {
                error: ResponseError::UnknownMemberId | ResponseError::IllegalGeneration, ..
            } => Verdict::Lost,
            other if other.is_transient() => Verdict::Later,
            _ => Verdict::Failed,
        }
    }
}

/// The task that sends heartbeats; it ends with the first interruption, or when it is dropped.
#[derive(Debug)]
struct Heart {
    task: JoinHandle<()>,
    interruption: watch::Receiver<Option<Interruption>>,
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Heart {
    fn start(client: Client, options: &MemberOptions, identity: &MemberIdentity) -> Heart {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&options.group))
            .with_generation_id(identity.generation)
            .with_member_id(text(&identity.member_id))
            .with_group_instance_id(identity.instance_id.as_deref().map(text));
        let (group, session_timeout) = (options.group.clone(), options.session_timeout);
        let (tell, interruption) = watch::channel(None);
        let task = tokio::spawn(async move {
            let interruption = beat(client, group, request, session_timeout).await;
            tell.send_replace(Some(interruption));
        });
        Heart { task, interruption }
    }
}

async fn beat(client: Client, group: String, request: HeartbeatRequest, session_timeout: Duration) -> Interruption {
    let interval = HEARTBEAT_INTERVAL_MAX.min(session_timeout / 3);
    let mut heard = Instant::now();
    loop {
        tokio::time::sleep(interval).await;
        let asked = async {
            let coordinator = client.coordinator(CoordinatorKind::Group, &group).await?;
            let answer = client.node(coordinator.id).await?.call(&request, session_timeout / 3).await?;
            check(answer.error_code, || format!("group {group}"), None)
        };
        match asked.await {
            Ok(()) => heard = Instant::now(),
            Err(error) => match Verdict::of(&error) {
                Verdict::Rebalance => return Interruption::Rebalance,
                Verdict::Lost => return Interruption::Lost,
                Verdict::Later if heard.elapsed() < session_timeout => client.forget_places(),
                Verdict::Later => return Interruption::Lost,
                Verdict::Identified | Verdict::Failed => return Interruption::Failed(error),
            },
        }
    }
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
