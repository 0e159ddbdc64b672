//! A broker comes up: snapshot, tail, registration.

use crate::health::HealthCell;
use crate::options::BrokerIdentity;
use crate::replica::{Replica, TailVolume};
use crate::sequencer::READ_BYTES;
use crate::snapshot::{self, Snapshot};
use bytes::Bytes;
use frazil_base::{Env, Epoch, Seq};
use frazil_meta::record::{Command, Record, RegisterBroker};
use frazil_meta::state::{Mutation, Outcome, State};
use frazil_meta::{AppendError, CommitLog, Entry, ReadError};
use frazil_store::{ObjectStorage, StoreError};
use std::sync::Arc;

/// Attempts to register when the outcome of the append stays unknown.
const REGISTER_ATTEMPTS: usize = 10;

/// Why a broker does not come up.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// The snapshots cannot be listed or read.
    #[error("the snapshots of the metadata cannot be read: {0}")]
    Snapshots(StoreError),
    /// The metadata log cannot be read.
    #[error("the metadata log cannot be read: {0}")]
    Log(#[from] ReadError),
    /// A record was written by a newer program, or is damaged.
    #[error("record {seq} of the metadata log cannot be understood: {cause}")]
    Record {
        /// Which.
        seq: Seq,
        /// Why.
        cause: Arc<str>,
    },
    /// The broker cannot be registered.
    #[error("the broker cannot be registered in the metadata log: {0}")]
    Register(AppendError),
}

/// A state that knows this broker.
pub(crate) struct Opened {
    pub(crate) replica: Replica,
    pub(crate) snapshots: Vec<Snapshot>,
}

pub(crate) async fn open(
    engine: &dyn CommitLog,
    store: &dyn ObjectStorage,
    env: &Env,
    identity: &BrokerIdentity,
    broken_rule: Option<Mutation>,
    health: HealthCell,
) -> Result<Opened, OpenError> {
    let mut snapshots = snapshot::list(store).await.map_err(OpenError::Snapshots)?;
    let state = snapshot::newest_state(store, &snapshots).await.map_err(OpenError::Snapshots)?;
    let state = with_broken_rule(state, broken_rule);
    let carried_bytes = snapshot::count_carried(&state, &mut snapshots);
    let mut replay = Replay { state, volume: TailVolume { carried_bytes, ..TailVolume::default() } };
    replay.read_tail(engine).await?;
    let register = RegisterBroker {
        broker: identity.id,
        incarnation: env.entropy.bits128(),
        host: identity.host.clone(),
        port: identity.port,
        zone: identity.zone.clone(),
        exclusive: engine.is_exclusive(),
    };
    let epoch = replay.register(engine, env, register).await?;
    tracing::info!(broker = %identity.id, %epoch, records = replay.volume.records, "registered in the metadata log");
    Ok(Opened { replica: Replica::new(replay.state, epoch, health, replay.volume), snapshots })
}

/// For tests of checkers: from here on the state breaks a rule.
#[cfg(any(test, feature = "testing"))]
fn with_broken_rule(mut state: State, broken_rule: Option<Mutation>) -> State {
    if let Some(rule) = broken_rule {
        state.mutate(rule);
    }
    state
}

#[cfg(not(any(test, feature = "testing")))]
fn with_broken_rule(state: State, _broken_rule: Option<Mutation>) -> State {
    state
}

struct Replay {
    state: State,
    volume: TailVolume,
}

impl Replay {
    async fn read_tail(&mut self, engine: &dyn CommitLog) -> Result<(), OpenError> {
        let tail = engine.tail().await?;
        while self.state.applied() < tail {
            let records = engine.read(self.state.applied(), READ_BYTES).await?;
            if records.is_empty() {
                break;
            }
            self.apply(&records, 0)?;
        }
        Ok(())
    }

    /// Applies what is new; returns the epoch if the registration of `incarnation` was among it.
    fn apply(&mut self, records: &[(Seq, Bytes)], incarnation: u128) -> Result<Option<Epoch>, OpenError> {
        let mut epoch = None;
        for (seq, bytes) in records {
            if *seq <= self.state.applied() {
                continue;
            }
            let malformed = |error| OpenError::Record { seq: *seq, cause: format!("{error}").into() };
            let (record, outcome) = self.state.apply_encoded(*seq, bytes).map_err(malformed)?;
            self.volume.add(bytes, &record.command, &outcome);
            if let (Command::RegisterBroker(register), Outcome::Registered(own)) = (record.command, outcome)
                && register.incarnation == incarnation
            {
                epoch = Some(own);
            }
        }
        Ok(epoch)
    }

    async fn register(
        &mut self,
        engine: &dyn CommitLog,
        env: &Env,
        register: RegisterBroker,
    ) -> Result<Epoch, OpenError> {
        let incarnation = register.incarnation;
        let mut last_error = AppendError::Unknown { cause: "the record did not appear in the log".into() };
        for _ in 0..REGISTER_ATTEMPTS {
            let record = Record {
                epoch: Epoch::default(),
                number: 0,
                time_ms: env.clock.now_ms(),
                command: Command::RegisterBroker(register.clone()),
            };
            let entry = Entry { record: record.encode(), body: None };
            let records = match engine.append(self.state.applied(), vec![entry]).await {
                Ok(appended) => appended.records,
                Err(error @ AppendError::Unknown { .. }) => {
                    last_error = error;
                    engine.read(self.state.applied(), READ_BYTES).await?
                }
                Err(error) => return Err(OpenError::Register(error)),
            };
            if let Some(epoch) = self.apply(&records, incarnation)? {
                return Ok(epoch);
            }
        }
        Err(OpenError::Register(last_error))
    }
}
