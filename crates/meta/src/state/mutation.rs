//! Rules of the state machine that a test may break on purpose, to prove that its checker would notice.

/// One broken rule. Made only by [`State::with_mutation`](super::State::with_mutation), which is for tests; a state made
/// any other way keeps all rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A producer's batch is stored again, however often it is sent.
    SkipDuplicateCheck,
    /// Records of closed registrations take effect.
    AcceptClosedEpoch,
    /// A commit overwrites the newest extent of its partition and gives its offsets out again.
    ReuseOffset,
    /// A producer's batch is stored although one before it is missing.
    AcceptSequenceGap,
    /// A record that was appended twice takes effect twice.
    ForgetRepeatedNumber,
    /// An extent points to the first bytes of its segment, wherever its batches stand.
    MisplaceExtent,
    /// The oldest live body is reported as no longer needed.
    ForgetLiveBody,
    /// A batch of a transaction that ended is stored, and visible at once.
    AcceptEndedTransaction,
    /// Offsets and rebalances of an earlier generation or epoch of a group take effect, also of members that are gone.
    AcceptStaleGeneration,
    /// One partition of a transaction gets the opposite marker.
    TearEndTransaction,
    /// The end of a transaction ends whichever is open, whatever epoch and transaction it names.
    EndLaterTransaction,
    /// Records about groups and transactions take effect whoever wrote them, and a coordinator does not ask whether it
    /// still is one: it would refuse most of them before they become records.
    IgnoreCoordinator,
    /// Offsets of a committed transaction vanish.
    LosePendingOffsets,
    /// Batches of open and aborted transactions are visible to readers of committed data.
    ForgetOpenTransaction,
}

/// The rules that are kept: all, unless a test broke one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    broken: Option<Mutation>,
}

impl Rules {
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn all_but(mutation: Mutation) -> Rules {
        Rules { broken: Some(mutation) }
    }

    pub(super) fn broken(self, mutation: Mutation) -> bool {
        self.broken == Some(mutation)
    }
}
