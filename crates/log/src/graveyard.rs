//! Bodies of the log that died lately, and are kept a while for readers that planned with them.
//!
//! The state forgets such a body with its last extent. So the graveyard compares the live bodies of two looks: what is
//! missing has died in between, and is needed until a grace later. What died in an earlier process is not known here;
//! nobody reads it.

use frazil_base::Seq;
use frazil_meta::LiveBodies;
use frazil_meta::state::{BodyId, State};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(crate) struct Graveyard {
    grace_ms: i64,
    /// At the last look.
    live: BTreeSet<Seq>,
    /// And when they were missed.
    dying: BTreeMap<Seq, i64>,
    /// Earlier processes may have left dead ones behind.
    is_first_look: bool,
}

impl Graveyard {
    /// Before the first reader: whoever is alive in `state` has its grace.
    pub(crate) fn new(state: &State, grace_ms: i64) -> Graveyard {
        Graveyard { grace_ms, live: live_in(state), dying: BTreeMap::new(), is_first_look: true }
    }

    /// Notices who has died. Returns whether the log should be trimmed for it: a grace is over, or this is the first
    /// look of the process.
    pub(crate) fn look(&mut self, state: &State, now_ms: i64) -> bool {
        let live = live_in(state);
        self.dying.extend(self.live.difference(&live).map(|seq| (*seq, now_ms)));
        self.live = live;
        std::mem::take(&mut self.is_first_look) || self.dying.values().any(|missed_ms| self.is_over(*missed_ms, now_ms))
    }

    /// Whether somebody is waiting for its end.
    pub(crate) fn is_empty(&self) -> bool {
        self.dying.is_empty()
    }

    /// The bodies that have to stay now. Those whose grace is over are forgotten.
    pub(crate) fn needed(&mut self, state: &State, now_ms: i64) -> LiveBodies {
        self.look(state, now_ms);
        let grace_ms = self.grace_ms;
        self.dying.retain(|_, missed_ms| now_ms < missed_ms.saturating_add(grace_ms));
        self.live.iter().chain(self.dying.keys()).copied().collect()
    }

    fn is_over(&self, missed_ms: i64, now_ms: i64) -> bool {
        now_ms >= missed_ms.saturating_add(self.grace_ms)
    }
}

fn live_in(state: &State) -> BTreeSet<Seq> {
    state.bodies().filter_map(|(body, _)| log_entry(body)).collect()
}

fn log_entry(body: BodyId) -> Option<Seq> {
    match body {
        BodyId::Log(seq) => Some(seq),
        BodyId::Object(_) | BodyId::Marker(_) => None,
    }
}
