//! Which segments are still needed: live bytes and extents per body, and objects that wait for their deletion.

use super::{BodyId, Extent};
use frazil_base::ObjectId;
use std::collections::BTreeMap;

/// A segment with live extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyState {
    /// Length of the whole segment.
    pub bytes: u32,
    /// How many extents still point into it; at least 1.
    pub live_extents: u32,
    /// Bytes of those extents.
    pub live_bytes: u64,
    /// When it was committed: the writer's wall clock, milliseconds since 1970.
    pub committed_ms: i64,
}

/// All bodies. A body is in at most one of the two maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bodies {
    live: BTreeMap<BodyId, BodyState>,
    dead: BTreeMap<ObjectId, i64>,
}

impl Bodies {
    pub(super) fn live(&self) -> impl Iterator<Item = (BodyId, &BodyState)> {
        self.live.iter().map(|(body, state)| (*body, state))
    }

    pub(super) fn get(&self, body: BodyId) -> Option<&BodyState> {
        self.live.get(&body)
    }

    pub(super) fn dead(&self) -> impl Iterator<Item = (ObjectId, i64)> {
        self.dead.iter().map(|(object, died_ms)| (*object, *died_ms))
    }

    pub(super) fn dead_count(&self) -> usize {
        self.dead.len()
    }

    /// Whether the body is live, or dead and not forgotten.
    pub(super) fn knows(&self, body: BodyId) -> bool {
        match body {
            BodyId::Object(object) if self.dead.contains_key(&object) => true,
            _ => self.live.contains_key(&body),
        }
    }

    /// A committed segment. Without live extents it is dead at once.
    pub(super) fn add(&mut self, body: BodyId, state: BodyState) {
        if state.live_extents == 0 {
            self.bury(body, state.committed_ms);
        } else {
            self.live.insert(body, state);
        }
    }

    /// An extent is gone; with the last one its body dies.
    pub(super) fn release(&mut self, extent: &Extent, now_ms: i64) {
        if let BodyId::Marker(_) = extent.body {
            return;
        }
        let state = self.live.get_mut(&extent.body).expect("an extent's body is live as long as the extent is");
        state.live_extents -= 1;
        state.live_bytes -= u64::from(extent.bytes);
        if state.live_extents == 0 {
            self.live.remove(&extent.body);
            self.bury(extent.body, now_ms);
        }
    }

    /// An entry of the log is trimmed by the engine; an object has to be deleted by somebody, who then says so.
    pub(super) fn bury(&mut self, body: BodyId, died_ms: i64) {
        if let BodyId::Object(object) = body {
            self.dead.insert(object, died_ms);
        }
    }

    /// The dead object is no longer in the store. Live ones stay.
    pub(super) fn forget(&mut self, object: ObjectId) {
        self.dead.remove(&object);
    }
}
