//! Who may write, and who leads what.
//!
//! A registration is open from its record until it is closed; later registrations have greater epochs, so an epoch that
//! is not open is closed for ever. Leaders are a rendezvous hash over the open registrations: when a broker joins or
//! leaves, only its own share of the partitions moves, and a restarted broker gets its share back.

use crate::record::RegisterBroker;
use frazil_base::{BrokerId, Epoch, TopicId, TopicPartition};
use std::collections::BTreeMap;

/// An open registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// The registration.
    pub epoch: Epoch,
    /// Kafka's node id.
    pub id: BrokerId,
    /// Where clients reach it.
    pub host: String,
    /// Where clients reach it.
    pub port: u16,
    /// Zone, Kafka's `rack`.
    pub zone: Option<String>,
}

/// What kind of thing a coordinator keeps; Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoordinatorKind {
    /// A group.
    Group = 0,
    /// A transactional id.
    Transaction = 1,
}

/// What the state keeps of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) broker: Broker,
    pub(super) incarnation: u128,
    /// Number of its last record that was applied.
    pub(super) last_number: u64,
}

/// The open registrations; one per broker id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Brokers(BTreeMap<BrokerId, Registration>);

impl Brokers {
    pub(super) fn registrations(&self) -> impl ExactSizeIterator<Item = &Registration> {
        self.0.values()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Broker> {
        self.0.values().map(|registration| &registration.broker)
    }

    pub(super) fn is_open(&self, epoch: Epoch) -> bool {
        self.iter().any(|broker| broker.epoch == epoch)
    }

    pub(super) fn get_mut(&mut self, epoch: Epoch) -> Option<&mut Registration> {
        self.0.values_mut().find(|registration| registration.broker.epoch == epoch)
    }

    /// Opens a registration and closes those it replaces. The same incarnation again, because the answer of the first
    /// append was lost, keeps its epoch.
    pub(super) fn register(&mut self, register: &RegisterBroker, epoch: Epoch) -> Epoch {
        if let Some(open) = self.0.get(&register.broker)
            && open.incarnation == register.incarnation
        {
            return open.broker.epoch;
        }
        if register.exclusive {
            self.0.clear();
        }
        let RegisterBroker { broker: id, host, port, zone, incarnation, .. } = register.clone();
        let broker = Broker { epoch, id, host, port, zone };
        self.0.insert(id, Registration { broker, incarnation, last_number: 0 });
        epoch
    }

    pub(super) fn close(&mut self, epoch: Epoch) {
        self.0.retain(|_, registration| registration.broker.epoch != epoch);
    }

    /// From a snapshot. Returns whether the broker id was not there yet.
    pub(super) fn restore(&mut self, registration: Registration) -> bool {
        self.0.insert(registration.broker.id, registration).is_none()
    }

    pub(super) fn coordinator(&self, kind: CoordinatorKind, key: &str) -> Option<&Broker> {
        self.leader(place(kind, key), None)
    }

    /// The open broker with the greatest weight for the partition, among those of the zone if it has any.
    pub(super) fn leader(&self, partition: TopicPartition, zone: Option<&str>) -> Option<&Broker> {
        let near = |broker: &&Broker| zone.is_some() && broker.zone.as_deref() == zone;
        let best = |candidates: &mut dyn Iterator<Item = &'_ Broker>| -> Option<BrokerId> {
            candidates.map(|broker| (weight(partition, broker.id), broker.id)).max().map(|(_, id)| id)
        };
        let id = best(&mut self.iter().filter(near)).or_else(|| best(&mut self.iter()))?;
        self.0.get(&id).map(|registration| &registration.broker)
    }
}

/// A key's place among the partitions: FNV-1a of its text where the topic id stands, and its kind as the partition.
/// Part of the format.
fn place(kind: CoordinatorKind, key: &str) -> TopicPartition {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = key.bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    TopicPartition { topic: TopicId(hash), partition: kind as i32 }
}

/// A broker's claim to a partition: four rounds of [`mix`] over topic id, partition and broker id. Part of the format:
/// brokers of different versions must agree.
fn weight(partition: TopicPartition, broker: BrokerId) -> u64 {
    let topic = partition.topic.0;
    let [high, low] = [(topic >> 64) as u64, topic as u64];
    [high, low, u64::from(partition.partition as u32), u64::from(broker.0 as u32)].into_iter().fold(0, mix)
}

/// Stirs 64 more bits into a hash: SplitMix64's finalizer (Steele, Lea, Flood 2014) over hash, golden ratio and bits.
pub(super) fn mix(hash: u64, bits: u64) -> u64 {
    let stirred = (hash ^ bits).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let stirred = (stirred ^ (stirred >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let stirred = (stirred ^ (stirred >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    stirred ^ (stirred >> 31)
}
