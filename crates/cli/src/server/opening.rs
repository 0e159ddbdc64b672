//! Opens what a broker stands on: the store with its decorators, the engine that fits it, and the log.
//!
//! | store | engine |
//! |---|---|
//! | `file://` | a journal in `journal/` below the directory |
//! | a bucket | numbered objects in `log/` |
//! | `memory://` | memory |
//!
//! A store that is away is waited for. Errors that time does not heal end the start.

use super::{JOURNAL_DIRECTORY, StartError};
use crate::settings::{HostPort, Settings};
use crate::time::Timestamp;
use frazil_base::{Env, Seq};
use frazil_console::Registry;
use frazil_log::layout::{SNAPSHOT_PREFIX, snapshot_of_key};
use frazil_log::{BrokerIdentity, Log, LogOptions, RetentionPolicy};
use frazil_meta::engine::{FileLog, FileOptions, MemoryLog, ObjectLog, ObjectOptions};
use frazil_meta::{CommitLog, ReadError};
use frazil_store::{Decorated, ObjectStorage, RetryPolicy, StoreError};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Attempts of one request; whoever asked decides what comes next. The engine and the log have patience of their own.
const STORE_ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);
/// A drain leaves the engine this long for what is under way.
const ENGINE_CLOSE_LIMIT: Duration = Duration::from_secs(4);
const PAGE: usize = 1000;

/// The store that the settings name.
pub async fn open_store(settings: &Settings, env: &Env, registry: &mut Registry) -> Result<Decorated, StartError> {
    let options = frazil_store::Options::new(env.clone());
    let bare = frazil_store::open(settings.store.expose().as_str(), options).await;
    let bare = bare.map_err(|source| StartError::Store { url: settings.store.to_string(), source })?;
    Ok(frazil_store::decorate(bare, env, RetryPolicy::bounded(STORE_ATTEMPTS), registry))
}

/// What a log is opened with.
pub struct Opening<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// Where clients reach this broker.
    pub advertised: &'a HostPort,
    /// The store.
    pub store: &'a Arc<dyn ObjectStorage>,
    /// Clock and randomness.
    pub env: &'a Env,
    /// What is kept of each topic.
    pub retention: Arc<dyn RetentionPolicy>,
}

impl Opening<'_> {
    /// Opens the engine and the log on it.
    pub async fn open(&self, registry: &mut Registry) -> Result<Log, StartError> {
        if self.settings.store.is_memory() {
            return self.open_log(Arc::new(MemoryLog::exclusive(true)), registry).await;
        }
        match self.settings.store.directory() {
            Some(directory) => {
                let engine = self.open_journal(&directory.join(JOURNAL_DIRECTORY)).await?;
                self.open_log(engine, registry).await
            }
            None => self.open_in_bucket(registry).await,
        }
    }

    async fn open_journal(&self, directory: &Path) -> Result<Arc<dyn CommitLog>, StartError> {
        let opened = FileLog::open(directory, self.env.clone(), FileOptions::default()).await;
        Ok(Arc::new(opened.map_err(|error| self.engine_failed(&error))?))
    }

    /// The engine reads what follows the newest snapshot. Should that snapshot turn out to be unreadable, the log goes
    /// back to an older one, and the engine has to be opened there.
    async fn open_in_bucket(&self, registry: &mut Registry) -> Result<Log, StartError> {
        let mut from = self.snapshots().await?;
        loop {
            let known = from.pop().unwrap_or(Seq::ZERO);
            let engine = match ObjectLog::open(self.store.clone(), self.env.clone(), self.object_options(known)).await {
                Ok(engine) => Arc::new(engine),
                Err(frazil_meta::engine::object::OpenError::Trimmed { missing }) if known > Seq::ZERO => {
                    tracing::warn!(%missing, "another broker went on meanwhile; starting from its snapshot");
                    tokio::time::sleep(PAUSE).await;
                    from = self.snapshots().await?;
                    continue;
                }
                Err(error) => return Err(self.engine_failed(&error)),
            };
            match self.open_log(engine, registry).await {
                Err(StartError::Log { source: frazil_log::OpenError::Log(ReadError::NotFound { .. }), .. })
                    if !from.is_empty() =>
                {
                    tracing::warn!(%known, "starting from an older snapshot");
                }
                result => return result,
            }
        }
    }

    fn object_options(&self, known: Seq) -> ObjectOptions {
        let now = Timestamp(self.env.clock.now_ms());
        let (id, address, process) = (self.settings.broker_id, self.advertised, std::process::id());
        ObjectOptions {
            known,
            puts_in_flight: self.settings.log.uploads_in_flight.clamp(1, 32),
            holder: format!("broker {id} at {address} (process {process}, started {now})"),
            close_within: ENGINE_CLOSE_LIMIT,
            ..ObjectOptions::default()
        }
    }

    /// Numbers of the snapshots, ascending.
    async fn snapshots(&self) -> Result<Vec<Seq>, StartError> {
        loop {
            match list_snapshots(self.store.as_ref()).await {
                Ok(snapshots) => return Ok(snapshots),
                Err(error) if error.is_transient() => wait_for_store(&error).await,
                Err(error) => return Err(self.engine_failed(&error)),
            }
        }
    }

    async fn open_log(&self, engine: Arc<dyn CommitLog>, registry: &mut Registry) -> Result<Log, StartError> {
        let identity = BrokerIdentity {
            id: self.settings.broker_id,
            host: self.advertised.host.clone(),
            port: self.advertised.port,
            zone: self.settings.zone.clone(),
        };
        loop {
            let (engine, store, env) = (engine.clone(), self.store.clone(), self.env.clone());
            let options = LogOptions { retention: self.retention.clone(), ..self.settings.log.clone() };
            match Log::open(engine, store, env, identity.clone(), options, registry).await {
                Ok(log) => return Ok(log),
                Err(error) if is_transient(&error) => wait_for_store(&error).await,
                Err(source) => return Err(StartError::Log { url: self.settings.store.to_string(), source }),
            }
        }
    }

    fn engine_failed(&self, error: &dyn Error) -> StartError {
        StartError::Engine { url: self.settings.store.to_string(), cause: causes(error) }
    }
}

/// Numbers of the snapshots in a store, ascending.
pub async fn list_snapshots(store: &dyn ObjectStorage) -> Result<Vec<Seq>, StoreError> {
    let (mut snapshots, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(SNAPSHOT_PREFIX, after.as_ref(), PAGE).await?;
        snapshots.extend(page.iter().filter_map(|object| snapshot_of_key(&object.key)));
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
            _ => return Ok(snapshots),
        }
    }
}

fn is_transient(error: &frazil_log::OpenError) -> bool {
    match error {
        frazil_log::OpenError::Snapshots(error) => error.is_transient(),
        frazil_log::OpenError::Log(ReadError::Unavailable { .. }) => true,
        _ => false,
    }
}

async fn wait_for_store(error: &dyn Error) {
    tracing::warn!(error = %causes(error), "the store is away; waiting for it");
    tokio::time::sleep(PAUSE).await;
}

/// An error and its causes in one line.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
