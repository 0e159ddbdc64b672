//! Consumers as the clients write them: they join, sync, beat, and look for their coordinator again when told so.

use super::world::World;
use crate::group::GroupError;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

/// What every consumer of a group has now: generation and partitions.
pub type Owned = BTreeMap<usize, (i32, BTreeSet<u16>)>;

/// Consumers of one group that share `partitions` partitions.
pub struct Fleet {
    pub owned: watch::Sender<Owned>,
    world: Arc<World>,
    group: String,
    partitions: u16,
}

impl Fleet {
    pub fn new(world: &Arc<World>, group: &str, partitions: u16) -> Arc<Fleet> {
        let owned = watch::Sender::new(Owned::new());
        Arc::new(Fleet { owned, world: world.clone(), group: group.to_owned(), partitions })
    }

    /// Waits until `count` consumers have the partitions to themselves in one generation beyond `after`.
    pub async fn settled(&self, count: usize, after: i32) -> i32 {
        let is_settled = |owned: &Owned| {
            let generations: BTreeSet<_> = owned.values().map(|(generation, _)| *generation).collect();
            owned.len() == count && generations.len() == 1 && generations.first() > Some(&after)
        };
        let mut changes = self.owned.subscribe();
        let owned = changes.wait_for(is_settled).await.expect("the fleet is there").clone();
        let all: Vec<_> = owned.values().flat_map(|(_, partitions)| partitions).collect();
        assert_eq!(all.len(), usize::from(self.partitions), "every partition is owned once");
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), usize::from(self.partitions));
        owned.values().next().expect("somebody is there").0
    }

    /// Consumer `number`, for as long as its task runs.
    pub async fn consume(self: Arc<Fleet>, number: usize) {
        let mut member_id = String::new();
        loop {
            match self.session(number, &mut member_id).await {
                GroupError::UnknownMember | GroupError::FencedInstanceId => member_id.clear(),
                GroupError::NotCoordinator | GroupError::CoordinatorNotAvailable => {
                    sleep(Duration::from_millis(100)).await
                }
                _ => (),
            }
        }
    }

    /// One generation, from the join to whatever ends it.
    async fn session(&self, number: usize, member_id: &mut String) -> GroupError {
        self.generation(number, member_id).await.expect_err("a session only ends with an error")
    }

    async fn generation(&self, number: usize, member_id: &mut String) -> Result<(), GroupError> {
        let site = self.world.coordinator(&self.group).await;
        let joined = site.join(&self.group, member_id).await?;
        *member_id = joined.member_id.clone();
        let ids: Vec<_> = joined.members.iter().map(|member| member.member_id.as_str()).collect();
        let assignment = deal(self.partitions, &ids);
        let synced = site.sync(&self.group, member_id, joined.generation, assignment).await?;
        let owned = synced.assignment.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        self.owned.send_modify(|all| drop(all.insert(number, (joined.generation, owned))));
        loop {
            sleep(HEARTBEAT_INTERVAL).await;
            self.world.coordinator(&self.group).await.groups.heartbeat(
                &self.group,
                member_id,
                None,
                joined.generation,
            )?;
        }
    }
}

/// Partitions in turn.
fn deal(partitions: u16, ids: &[&str]) -> Vec<(String, Bytes)> {
    let part = |position: usize| {
        let own = (0..partitions).filter(|partition| usize::from(*partition) % ids.len() == position);
        Bytes::from_iter(own.flat_map(u16::to_be_bytes))
    };
    ids.iter().enumerate().map(|(position, id)| (id.to_string(), part(position))).collect()
}
