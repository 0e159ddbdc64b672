//! Which connection speaks for a transactional producer.
//!
//! A client before KIP-890 keeps its epoch from one transaction to the next. When it gives a connection up with an EndTxn
//! on it, asks again over a new one and begins its next transaction, and the first request is read only then, nothing in
//! it tells that it does not mean this transaction (KAFKA-17754). But it comes over an older connection than others of
//! the same producer id and epoch did. So the newest connection heard of speaks for the producer, and an older one that
//! speaks after it is closed: behind it there is no client any more, and one that is there connects anew.
//!
//! This lives and dies with the broker, like the connections themselves. It does not cover a late request to a broker
//! that lost the transactional id to another one and got it back; the epochs of KIP-890 do.

use frazil_meta::state::State;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Entries beyond those of open transactions before they are looked through.
const SPARE_ENTRIES: usize = 1024;

/// The newest connections of producers whose transactions this broker coordinates.
#[derive(Debug, Default)]
pub(crate) struct Succession {
    newest: Mutex<BTreeMap<String, Spokesman>>,
}

#[derive(Clone, Copy, Debug)]
struct Spokesman {
    producer: (i64, i16),
    connection: u64,
}

impl Succession {
    /// Whether a request of the producer (id and epoch) over this connection counts; if so, no older connection's does
    /// from now on.
    pub fn hears(&self, state: &State, transactional_id: &str, producer: (i64, i16), connection: u64) -> bool {
        let is_current = |known: &frazil_meta::state::Transaction| (known.producer_id, known.epoch) == producer;
        if !state.transaction(transactional_id).is_some_and(is_current) {
            // It will be refused for what it says, and must not speak for anybody.
            return true;
        }
        let mut newest = self.newest.lock();
        match newest.get_mut(transactional_id) {
            Some(known) if known.producer == producer => {
                let counts = connection >= known.connection;
                known.connection = known.connection.max(connection);
                counts
            }
            _ => {
                forget_idle(&mut newest, state);
                newest.insert(transactional_id.to_owned(), Spokesman { producer, connection });
                true
            }
        }
    }
}

/// Only an open transaction can be mistaken for another.
fn forget_idle(newest: &mut BTreeMap<String, Spokesman>, state: &State) {
    if newest.len() >= SPARE_ENTRIES && newest.len().is_power_of_two() {
        newest.retain(|id, _| state.transaction(id).is_some_and(|transaction| transaction.is_ongoing()));
    }
}
