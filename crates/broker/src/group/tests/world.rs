//! One log in memory, and the coordinators of groups on it.

use crate::config::{Layers, Values};
use crate::group::membership::{Join, JoinRefused, Joined, Sync, Synced};
use crate::group::{
    Commit, CommittedBy, ConsumerSettings, GroupCoordinator, GroupError, GroupSettings, membership::Rules,
};
use crate::stopping::StopSignal;
use bytes::Bytes;
use frazil_base::clock::TokioClock;
use frazil_base::entropy::SeededEntropy;
use frazil_base::{BrokerId, Env, Epoch, TopicId, TopicPartition};
use frazil_log::{BrokerIdentity, Log, LogOptions};
use frazil_meta::engine::MemoryLog;
use frazil_meta::engine::testing::{Faults as LogFaults, FaultyLog};
use frazil_meta::record::{Command, CreateTopic, OffsetCommit};
use frazil_meta::state::{CommittedOffset, Outcome};
use frazil_store::testing::{FaultControls, Faults};
use frazil_store::{MemoryStorage, ObjectStorage};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// 2024-02-29T13:00:00Z
const START_MS: i64 = 1_709_211_600_000;

/// What outlives brokers, and the brokers that run.
pub struct World {
    pub env: Env,
    pub engine: MemoryLog,
    pub log_faults: LogFaults,
    pub store_faults: FaultControls,
    pub options: LogOptions,
    pub settings: GroupSettings,
    /// What the operator wrote about groups of the consumer protocol.
    pub fixed: Values,
    store: Arc<dyn ObjectStorage>,
    pub sites: Mutex<Vec<Arc<Site>>>,
}

/// A broker, as far as groups see one.
pub struct Site {
    pub id: i32,
    pub log: Log,
    pub groups: GroupCoordinator,
    pub stop: StopSignal,
    registry: Registry,
    task: JoinHandle<()>,
}

impl World {
    pub fn new() -> World {
        let entropy = Arc::new(SeededEntropy::new(7));
        let env = Env { clock: Arc::new(TokioClock::starting_at(START_MS)), entropy: entropy.clone() };
        let (store, store_faults) = Faults::new(Arc::new(MemoryStorage::new(env.clone())), 7);
        World {
            env,
            engine: MemoryLog::new(true),
            log_faults: LogFaults::new(entropy),
            store_faults,
            options: LogOptions::default(),
            settings: GroupSettings {
                rules: Rules { initial_delay_ms: 0, members_max: 10_000 },
                session_timeout_ms: (6_000, 1_800_000),
                offset_metadata_bytes_max: 4_096,
                offsets_retention: Duration::from_secs(7 * 24 * 3600),
                retention_check_interval: Duration::from_secs(600),
            },
            fixed: Values::new(),
            store,
            sites: Mutex::default(),
        }
    }

    pub async fn start(&self, id: i32) -> Arc<Site> {
        let identity = BrokerIdentity { id: BrokerId(id), host: "localhost".into(), port: 9092, zone: None };
        let mut registry = Registry::default();
        let engine = Arc::new(FaultyLog::new(Arc::new(self.engine.handle()), self.log_faults.clone()));
        let options = self.options.clone();
        let log = Log::open(engine, self.store.clone(), self.env.clone(), identity, options, &mut registry).await;
        let log = log.expect("it opens");
        let layers = Layers { own: None, broker: None, cluster: None, fixed: &self.fixed };
        let groups = GroupCoordinator::new(log.clone(), self.settings, ConsumerSettings::of(layers));
        let stop = StopSignal::default();
        let task = tokio::spawn(groups.clone().run(stop.subscribe()));
        let site = Arc::new(Site { id, log, groups, stop, registry, task });
        self.sites.lock().push(site.clone());
        for other in self.all() {
            other.has_applied(site.log.epoch()).await;
        }
        site
    }

    pub fn all(&self) -> Vec<Arc<Site>> {
        self.sites.lock().clone()
    }

    /// The broker that coordinates the group, by its own account. Waits until there is one.
    pub async fn coordinator(&self, group: &str) -> Arc<Site> {
        loop {
            if let Some(site) = self.all().into_iter().find(|site| site.groups.check_role(group).is_ok()) {
                return site;
            }
            tokio::task::yield_now().await;
        }
    }

    /// A broker dies without a word; another one notices.
    pub async fn kill(&self, site: &Arc<Site>) {
        self.sites.lock().retain(|other| !Arc::ptr_eq(other, site));
        site.task.abort();
        // Its connections break.
        site.stop.give();
        let epoch = site.log.epoch();
        let others = self.all();
        let survivor = others.first().expect("somebody is left");
        survivor.log.propose(Command::CloseBroker { epoch }).await.expect("the log takes it");
        for other in others {
            other.log.applied_changes().wait_for(|_| !other.log.state().is_open(epoch)).await;
        }
    }

    pub async fn create_topic(&self, name: &str, partitions: i32) -> TopicId {
        let topic = TopicId(self.env.entropy.bits128());
        let create = CreateTopic { topic, name: name.into(), partitions, replication_factor: 1, configs: Vec::new() };
        let site = self.all().remove(0);
        assert_eq!(site.log.propose(Command::CreateTopic(create)).await, Ok(Outcome::Done));
        for other in self.all() {
            let applied = site.log.state().applied();
            other.log.applied_changes().wait_for(|seq| *seq >= applied).await;
        }
        topic
    }
}

impl Site {
    async fn has_applied(&self, epoch: Epoch) {
        self.log.applied_changes().wait_for(|_| self.log.state().is_open(epoch)).await;
    }

    pub async fn join_with(
        &self,
        group: &str,
        member_id: &str,
        change: impl FnOnce(&mut Join),
    ) -> Result<Joined, JoinRefused> {
        let mut join = Join {
            member_id: member_id.to_owned(),
            fresh_id: format!("m-{:016x}", self.log.env().entropy.bits64()),
            instance_id: None,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), Bytes::from_static(b"topics"))],
            requires_member_id: true,
            can_skip_assignment: true,
        };
        change(&mut join);
        self.groups.join(group, join, &self.stop.subscribe()).await
    }

    /// Joins; a new member with the id that it is given.
    pub async fn join(&self, group: &str, member_id: &str) -> Result<Joined, GroupError> {
        match self.join_with(group, member_id, |_| ()).await {
            Err(JoinRefused { error: GroupError::MemberIdRequired, member_id }) => {
                self.join_with(group, &member_id, |_| ()).await.map_err(|refused| refused.error)
            }
            other => other.map_err(|refused| refused.error),
        }
    }

    pub async fn sync(
        &self,
        group: &str,
        member_id: &str,
        generation: i32,
        assignment: Vec<(String, Bytes)>,
    ) -> Result<Synced, GroupError> {
        let sync = Sync { member_id: member_id.to_owned(), generation, assignment, ..Sync::default() };
        self.groups.sync(group, sync, &self.stop.subscribe()).await
    }

    /// A stable group of one; gives the member's id and the generation.
    pub async fn lone_member(&self, group: &str) -> (String, i32) {
        let joined = self.join(group, "").await.expect("it joins");
        let assignment = vec![(joined.member_id.clone(), Bytes::from_static(b"all"))];
        self.sync(group, &joined.member_id, joined.generation, assignment).await.expect("it syncs");
        (joined.member_id, joined.generation)
    }

    pub async fn commit(
        &self,
        group: &str,
        member: Option<(&str, i32)>,
        partition: TopicPartition,
        offset: i64,
    ) -> Result<(), GroupError> {
        let (member_id, generation) = member.unwrap_or(("", -1));
        let by = CommittedBy { member_id: member_id.to_owned(), instance_id: None, generation };
        let offsets = vec![(partition, OffsetCommit { offset, leader_epoch: -1, metadata: String::new() })];
        self.groups.commit(Commit { group: group.to_owned(), by, txn: None, offsets }).await
    }

    pub fn committed(&self, group: &str, partition: TopicPartition) -> Option<CommittedOffset> {
        self.log.state().group(group)?.offsets.get(&partition).cloned()
    }

    /// How often the engine was asked to append.
    pub fn append_calls(&self) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("metrics can be written");
        let line = text.lines().find_map(|line| line.strip_prefix("frazil_log_append_calls_total "));
        line.expect("the metric is there").parse().expect("a number")
    }
}

pub fn partition(topic: TopicId, partition: i32) -> TopicPartition {
    TopicPartition { topic, partition }
}
