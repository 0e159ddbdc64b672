//! Groups of the consumer protocol (KIP-848) over one log and several brokers.

mod migration;
mod roles;
mod rules;
mod scale;

use super::world::{Site, World, partition};
use crate::group::GroupError;
use crate::group::consumer::{Heartbeat, HeartbeatRefused, Reply};
use frazil_base::TopicId;
use frazil_meta::record::{Assignment, ConsumerMember};
use frazil_meta::state::{ConsumerGroup, GroupKind};
use std::sync::Arc;

/// A member, as its client sees itself.
#[derive(Clone, Debug)]
struct Consumer {
    group: String,
    member_id: String,
    instance_id: Option<String>,
    epoch: i32,
    owned: Assignment,
    topics: Vec<String>,
}

impl Consumer {
    fn new(group: &str, member_id: &str) -> Consumer {
        Consumer {
            group: group.to_owned(),
            member_id: member_id.to_owned(),
            instance_id: None,
            epoch: 0,
            owned: Assignment::new(),
            topics: vec!["t".to_owned()],
        }
    }

    fn with_instance(self, instance: &str) -> Consumer {
        Consumer { instance_id: Some(instance.to_owned()), ..self }
    }

    /// What it sends: everything when it joins, else only what it has.
    fn heartbeat(&self) -> Heartbeat {
        let joins = self.epoch == 0;
        Heartbeat {
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rebalance_timeout_ms: joins.then_some(30_000),
            topics: joins.then(|| self.topics.clone()),
            owned: Some(self.owned.clone()),
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            ..Heartbeat::default()
        }
    }

    /// One heartbeat; what it is told it does at once.
    async fn beat(&mut self, site: &Site) -> Result<Reply, HeartbeatRefused> {
        let reply = send(site, &self.group, self.heartbeat()).await?;
        self.epoch = reply.member_epoch;
        if let Some(assignment) = &reply.assignment {
            self.owned = assignment.clone();
        }
        Ok(reply)
    }

    async fn leave(&mut self, site: &Site, epoch: i32) -> Result<Reply, HeartbeatRefused> {
        self.epoch = epoch;
        send(site, &self.group, Heartbeat { owned: None, ..self.heartbeat() }).await
    }

    /// The partitions of one topic that it has.
    fn partitions(&self) -> Vec<i32> {
        self.owned.values().flatten().copied().collect()
    }
}

async fn send(site: &Site, group: &str, heartbeat: Heartbeat) -> Result<Reply, HeartbeatRefused> {
    site.groups.consumer_heartbeat(group, heartbeat, true, &site.stop.subscribe()).await
}

/// Everybody sends heartbeats until nobody is told anything new.
async fn settle(world: &World, consumers: &mut [&mut Consumer]) {
    let mut is_settled = false;
    while !is_settled {
        is_settled = true;
        for consumer in consumers.iter_mut() {
            let site = world.coordinator(&consumer.group).await;
            let epoch = consumer.epoch;
            let reply = consumer.beat(&site).await.expect("a member");
            is_settled &= reply.assignment.is_none() && reply.member_epoch == epoch;
        }
    }
}

/// The group as a broker's log has it.
fn recorded(site: &Site, group: &str) -> ConsumerGroup {
    let state = site.log.state();
    match &state.group(group).expect("a group").kind {
        GroupKind::Consumer(group) => group.clone(),
        other => panic!("{other:?} is no consumer group"),
    }
}

fn recorded_member(site: &Site, group: &str, member: &str) -> Option<ConsumerMember> {
    recorded(site, group).members.get(member).cloned()
}

/// A broker, a topic `t`, and consumers that have settled.
async fn settled(partitions: i32, names: &[&str]) -> (World, Arc<Site>, TopicId, Vec<Consumer>) {
    let world = World::new();
    let site = world.start(1).await;
    let topic = world.create_topic("t", partitions).await;
    let mut consumers: Vec<_> = names.iter().map(|name| Consumer::new("g", name)).collect();
    settle(&world, &mut consumers.iter_mut().collect::<Vec<_>>()).await;
    (world, site, topic, consumers)
}

fn refused(error: GroupError) -> HeartbeatRefused {
    HeartbeatRefused::Group(error)
}
