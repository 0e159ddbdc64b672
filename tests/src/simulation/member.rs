//! A member of a classic group: joins, is given partitions, commits offsets, is thrown out, joins again.

use super::caller::{ANSWERED_WITHIN, Caller, Kind, Lateness, code, text};
use super::chance::Chance;
use super::history::Event;
use super::transactional::{GroupMember, topic};
use super::world::{INPUT, TOPIC_STEP, World};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError as Error;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, SyncGroupRequest,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const SESSION_TIMEOUT_MS: i32 = 6_000;
const REBALANCE_TIMEOUT_MS: i32 = 10_000;
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// A join is answered when the rebalance is over.
const JOINED_WITHIN: Duration = Duration::from_secs(40);
const PROTOCOL: &str = "range";

/// The member has to join again; what it owned is no longer its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejoin;

/// One member.
#[derive(Debug)]
pub struct Member {
    caller: Caller,
    group: &'static str,
    id: String,
    generation: i32,
    /// What it owns.
    pub partitions: Vec<i32>,
    last_beat: Instant,
}

impl Member {
    /// A member to be.
    pub fn new(world: Arc<World>, group: &'static str, chance: Chance) -> Member {
        let caller = Caller::new(world, chance);
        let (id, generation, partitions) = (String::new(), -1, Vec::new());
        Member { caller, group, id, generation, partitions, last_beat: Instant::now() }
    }

    /// As whom it commits with a transaction.
    pub fn identity(&self) -> GroupMember {
        GroupMember { group: self.group, member: self.id.clone(), generation: self.generation }
    }

    fn group_id(&self) -> GroupId {
        GroupId(text(self.group))
    }

    fn place(&self) -> (Kind, &'static str) {
        (Kind::Group, self.group)
    }

    /// Joins until it is given its partitions.
    pub async fn join(&mut self) {
        self.partitions.clear();
        while !self.join_once().await {
            tokio::time::sleep(self.caller.chance.millis(10..300)).await;
        }
        self.last_beat = Instant::now();
        self.caller.world.note(Event::Assigned {
            group: self.group,
            generation: self.generation,
            member: self.id.clone(),
            partitions: self.partitions.clone(),
        });
    }

    async fn join_once(&mut self) -> bool {
        let protocol = JoinGroupRequestProtocol::default().with_name(text(PROTOCOL)).with_metadata(subscription());
        let request = JoinGroupRequest::default()
            .with_group_id(self.group_id())
            .with_session_timeout_ms(SESSION_TIMEOUT_MS)
            .with_rebalance_timeout_ms(REBALANCE_TIMEOUT_MS)
            .with_member_id(text(&self.id))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let joined = self.caller.ask_once(self.place(), 9, &request, Lateness::Perhaps, JOINED_WITHIN).await;
        let Some(joined) = joined else { return self.lost_coordinator() };
        match joined.error_code {
            0 => {
                (self.id, self.generation) = (joined.member_id.to_string(), joined.generation_id);
                self.sync(&joined).await
            }
            code if code::is(code, Error::MemberIdRequired) => {
                self.id = joined.member_id.to_string();
                false
            }
            code => self.refused("JoinGroup", code),
        }
    }

    async fn sync(&mut self, joined: &JoinGroupResponse) -> bool {
        let request = SyncGroupRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text(PROTOCOL)))
            .with_assignments(assignments(joined));
        let synced = self.caller.ask_once(self.place(), 5, &request, Lateness::Perhaps, JOINED_WITHIN).await;
        let Some(synced) = synced else { return self.lost_coordinator() };
        if synced.error_code != 0 {
            return self.refused("SyncGroup", synced.error_code);
        }
        let words = synced.assignment.chunks_exact(4);
        self.partitions = words.map(|word| i32::from_be_bytes(word.try_into().expect("four bytes"))).collect();
        true
    }

    fn lost_coordinator(&mut self) -> bool {
        self.caller.forget_coordinator(Kind::Group, self.group);
        false
    }

    /// What an error means; always `false`.
    fn refused(&mut self, api: &str, code: i16) -> bool {
        let rejoins = [Error::RebalanceInProgress, Error::IllegalGeneration];
        if code::is(code, Error::UnknownMemberId) {
            self.id.clear();
        } else if code::is_about_coordinator(code) {
            self.lost_coordinator();
        } else if !rejoins.iter().any(|error| error.code() == code) {
            self.caller.unexpected(api, code);
        }
        false
    }

    /// A heartbeat when it is time for one.
    pub async fn beat(&mut self) -> Result<(), Rejoin> {
        if self.last_beat.elapsed() < HEARTBEAT_INTERVAL {
            return Ok(());
        }
        let request = HeartbeatRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id));
        let answer = self.caller.ask_once(self.place(), 4, &request, Lateness::Perhaps, ANSWERED_WITHIN).await;
        match answer.map(|answer| answer.error_code) {
            Some(0) => self.last_beat = Instant::now(),
            None => drop(self.lost_coordinator()),
            Some(code) if code::is_about_coordinator(code) => drop(self.lost_coordinator()),
            Some(code) => {
                self.refused("Heartbeat", code);
                return Err(Rejoin);
            }
        }
        Ok(())
    }

    /// The committed offsets of what it owns; none of which a transaction is about to change.
    pub async fn offsets(&mut self) -> Result<BTreeMap<i32, i64>, Rejoin> {
        let Some(first) = self.partitions.first() else { return Ok(BTreeMap::new()) };
        let indexes = self.partitions.iter().map(|partition| partition % TOPIC_STEP).collect();
        let wanted = OffsetFetchRequestTopic::default().with_name(topic(*first)).with_partition_indexes(indexes);
        let request = OffsetFetchRequest::default()
            .with_group_id(self.group_id())
            .with_topics(Some(vec![wanted]))
            .with_require_stable(true);
        loop {
            let since = self.caller.world.moment();
            let place = self.place();
            let answer = self.caller.ask(place, 7, &request, Lateness::Perhaps, |answer| answer.error_code).await;
            if answer.error_code != 0 {
                self.refused("OffsetFetch", answer.error_code);
                return Err(Rejoin);
            }
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            let offsets: Vec<_> = partitions.map(|one| (one.error_code, one.committed_offset.max(0))).collect();
            if offsets.iter().all(|(code, _)| *code == 0) {
                return Ok(self.note_fetched(&offsets, since));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.beat().await?;
        }
    }

    fn note_fetched(&self, offsets: &[(i16, i64)], since: usize) -> BTreeMap<i32, i64> {
        let fetched = self.partitions.iter().copied().zip(offsets.iter().map(|(_, offset)| *offset));
        let fetched: BTreeMap<_, _> = fetched.collect();
        for (partition, offset) in &fetched {
            let (group, partition, offset) = (self.group, *partition, *offset);
            self.caller.world.note(Event::OffsetFetched { group, partition, offset, since });
        }
        fetched
    }

    /// Commits offsets. Without an answer the member goes away and comes back as another: its request may yet arrive.
    pub async fn commit(&mut self, offsets: &BTreeMap<i32, i64>) -> Result<(), Rejoin> {
        let partition = |(partition, offset): (&i32, &i64)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(partition % TOPIC_STEP)
                .with_committed_offset(*offset)
                .with_committed_metadata(Some(text("")))
        };
        let Some(first) = offsets.keys().next() else { return Ok(()) };
        let topic = OffsetCommitRequestTopic::default()
            .with_name(topic(*first))
            .with_partitions(offsets.iter().map(partition).collect());
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group_id())
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(&self.id))
            .with_topics(vec![topic]);
        let since = self.caller.world.moment();
        let answer = self.caller.ask_once(self.place(), 8, &request, Lateness::Perhaps, ANSWERED_WITHIN).await;
        let Some(answer) = answer else {
            self.id.clear();
            self.lost_coordinator();
            return Err(Rejoin);
        };
        match first_error(&answer) {
            0 => {
                self.note_committed(offsets, since, 0);
                Ok(())
            }
            // It may have been written, and must not overtake a later one.
            code if code::is(code, Error::CoordinatorNotAvailable) || code::is(code, Error::RequestTimedOut) => {
                self.id.clear();
                Err(Rejoin)
            }
            code => {
                self.refused("OffsetCommit", code);
                Err(Rejoin)
            }
        }
    }

    /// Notes that offsets were committed, or will be with the transaction.
    pub fn note_committed(&self, offsets: &BTreeMap<i32, i64>, since: usize, txn: u32) {
        for (partition, offset) in offsets {
            let (group, partition, offset) = (self.group, *partition, *offset);
            self.caller.world.note(Event::OffsetCommitted { group, partition, offset, since, txn });
        }
    }

    /// Leaves, in order or by dying, now and then.
    pub async fn leaves(&mut self) -> bool {
        if !self.caller.stalls() {
            return false;
        }
        if self.caller.chance.per_mille(500) {
            let member = MemberIdentity::default().with_member_id(text(&self.id));
            let request = LeaveGroupRequest::default().with_group_id(self.group_id()).with_members(vec![member]);
            // Whether it arrives is nobody's concern.
            let _ = self.caller.ask_once(self.place(), 4, &request, Lateness::Perhaps, ANSWERED_WITHIN).await;
        }
        self.id.clear();
        true
    }
}

fn first_error(answer: &OffsetCommitResponse) -> i16 {
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).find(|code| *code != 0).unwrap_or(0)
}

/// What a member subscribes to, in version 0 of the consumer protocol.
fn subscription() -> Bytes {
    let name = topic(INPUT.start).0;
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(1);
    bytes.put_i16(name.len() as i16);
    bytes.put_slice(name.as_bytes());
    bytes.put_i32(-1);
    bytes.freeze()
}

/// What the leader deals out: the partitions in turn; nothing of anybody else.
fn assignments(joined: &JoinGroupResponse) -> Vec<SyncGroupRequestAssignment> {
    if joined.leader != joined.member_id {
        return Vec::new();
    }
    let count = joined.members.len();
    let assignment =
        |(index, member): (usize, &kafka_protocol::messages::join_group_response::JoinGroupResponseMember)| {
            let mine = INPUT.enumerate().filter(|(number, _)| number % count == index).map(|(_, partition)| partition);
            let bytes: Vec<u8> = mine.flat_map(i32::to_be_bytes).collect();
            SyncGroupRequestAssignment::default().with_member_id(member.member_id.clone()).with_assignment(bytes.into())
        };
    joined.members.iter().enumerate().map(assignment).collect()
}
