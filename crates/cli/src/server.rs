//! A whole broker in one process: the store with its decorators, the metadata engine, the log, the Kafka side, and
//! the HTTP side, wired in that order and stopped in the reverse one.
//!
//! Both listeners are bound first, so that a taken port is known before anything is opened and probes are answered
//! while a long start-up is under way. A store that is away does not end the process: the broker starts, or goes on,
//! not ready. Only one thing ends it from inside: another broker took over its log.

mod cluster_id;
mod listen;
mod opening;

use crate::settings::{HostPort, Settings};
use crate::time::Timestamp;
use frazil_base::Env;
use frazil_broker::{Broker, BrokerSettings};
use frazil_console::{Check, Console, HealthReport, Registry, SharedRegistry};
use frazil_log::{Health, Log};
use frazil_store::StoreHealth;
use opening::Opening;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;

pub use cluster_id::CLUSTER_ID_KEY;
pub use listen::{ListenError, advertised_address};

/// A drain that takes longer is given up, and says so. Orchestrators kill after 30 s by default.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(15);

/// The part of it for answering clients; the rest is for leaving the metadata and freeing locks.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Directory of the file engine below the store's root.
pub const JOURNAL_DIRECTORY: &str = "journal";

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The store's URL names no usable store.
    #[error("the store {url} cannot be opened")]
    Store {
        /// The store, without secrets.
        url: String,
        /// Why.
        source: frazil_store::OpenError,
    },
    /// The metadata engine cannot be opened.
    #[error("the metadata log in {url} cannot be opened: {cause}")]
    Engine {
        /// Where it is, without secrets.
        url: String,
        /// Why.
        cause: String,
    },
    /// The log cannot be opened.
    #[error("the log in {url} cannot be opened")]
    Log {
        /// Where it is, without secrets.
        url: String,
        /// Why.
        source: frazil_log::OpenError,
    },
    /// The HTTP side does not come up.
    #[error("the HTTP server cannot be started")]
    Http(#[source] std::io::Error),
}

/// What health is read from; no request asks the store.
#[derive(Default)]
struct State {
    draining: AtomicBool,
    parts: OnceLock<(Log, StoreHealth)>,
}

impl State {
    fn report(&self) -> HealthReport {
        let Some((log, store)) = self.parts.get() else { return HealthReport::default() };
        let (ok, detail) = match log.health() {
            Health::Ok => (true, "writes are acknowledged".to_string()),
            Health::StoreOutage { cause } => (false, format!("store outage: {cause}")),
            Health::Fenced { cause } => (false, format!("fenced: {cause}")),
        };
        let checks = vec![Check { name: "log", ok, detail }, store_check(ok, store)];
        HealthReport { started: true, draining: self.draining.load(Ordering::Relaxed), checks }
    }
}

/// What the last request says about the store. It decides nothing while writes go through: an idle broker sends no
/// request that could show that a fault is over.
fn store_check(log_ok: bool, store: &StoreHealth) -> Check {
    match store.status().failing {
        None => Check { name: "store", ok: true, detail: "the last request succeeded".to_string() },
        Some(failing) => {
            let (requests, since) = (failing.requests, Timestamp(failing.since_ms));
            let detail = format!("{requests} requests failed since {since}, the last one: {}", failing.cause);
            Check { name: "store", ok: log_ok, detail }
        }
    }
}

/// A running broker.
pub struct Server {
    /// Where Kafka clients connect.
    pub kafka_addr: SocketAddr,
    /// Where health and metrics are served.
    pub http_addr: SocketAddr,
    /// The address told to Kafka clients.
    pub advertised: HostPort,
    state: Arc<State>,
    log: Log,
    broker: Broker,
    console: Console,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server(kafka {}, http {})", self.kafka_addr, self.http_addr)
    }
}

/// Starts a broker on the machine's clock and randomness. Must be called inside a tokio runtime.
pub async fn start(settings: Settings) -> Result<Server, StartError> {
    Starting::bind(settings, false).await?.finish().await
}

/// A broker whose ports are bound and whose probes are answered, but which serves no Kafka client yet.
pub struct Starting {
    settings: Settings,
    env: Env,
    kafka: TcpListener,
    advertised: HostPort,
    console: Console,
    registry: SharedRegistry,
    state: Arc<State>,
}

impl Starting {
    /// Binds both ports. With `any_port` a taken port is replaced by a free one.
    pub async fn bind(settings: Settings, any_port: bool) -> Result<Starting, StartError> {
        let kafka = listen::bind("kafka.listen", &settings.kafka_listen, any_port).await?;
        let http = listen::bind("http.listen", &settings.http_listen, any_port).await?;
        let kafka_addr = kafka.local_addr().map_err(StartError::Http)?;
        let advertised = advertised_address(&settings.kafka_listen, settings.kafka_advertise.as_ref(), kafka_addr);
        let (registry, state) = (SharedRegistry::default(), Arc::new(State::default()));
        let health = state.clone();
        let console = frazil_console::serve(http, registry.clone(), Arc::new(move || health.report()), VERSION)
            .map_err(StartError::Http)?;
        tracing::info!(kafka = %kafka_addr, %advertised, http = %console.local_addr(), store = %settings.store, "ports bound");
        Ok(Starting { settings, env: Env::system(), kafka, advertised, console, registry, state })
    }

    /// Opens the store and the log, and serves Kafka clients. Waits while the store is away.
    pub async fn finish(self) -> Result<Server, StartError> {
        let Starting { settings, env, kafka, advertised, console, registry: shared, state } = self;
        let mut registry = Registry::default();
        let store = opening::open_store(&settings, &env, &mut registry).await?;
        let retention = broker_settings(&settings, String::new()).retention_policy(settings.broker_id);
        let opening =
            Opening { settings: &settings, advertised: &advertised, store: &store.storage, env: &env, retention };
        let cluster_id = cluster_id::obtain(store.storage.as_ref(), &env);
        let (cluster_id, log) = tokio::join!(cluster_id, opening.open(&mut registry));
        let log = log?;
        let kafka_addr = kafka.local_addr().map_err(StartError::Http)?;
        let broker = Broker::start(log.clone(), broker_settings(&settings, cluster_id), kafka, &mut registry);
        let _ = shared.set(registry);
        let _ = state.parts.set((log.clone(), store.health));
        tracing::info!(epoch = %log.epoch(), "serving");
        Ok(Server { kafka_addr, http_addr: console.local_addr(), advertised, state, log, broker, console })
    }
}

/// The version that is shown to people and in metrics.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Server {
    /// Waits until another broker has taken the log over; gives the cause. Never ends otherwise.
    pub async fn fenced(&self) -> String {
        let mut changes = self.log.health_changes();
        let fenced = changes.wait_for(|health| matches!(health, Health::Fenced { .. })).await;
        match fenced.as_deref() {
            Ok(Health::Fenced { cause }) => cause.to_string(),
            _ => std::future::pending().await,
        }
    }

    /// Whether nobody has made a topic here yet.
    pub fn is_new(&self) -> bool {
        self.log.state().topics().next().is_none()
    }

    /// What `/readyz` says.
    pub fn health(&self) -> HealthReport {
        self.state.report()
    }

    /// Drains: takes no more connections, answers what is under way, makes it durable, leaves the metadata, frees
    /// locks. Returns whether that came to its end within [`DRAIN_LIMIT`]; nothing acknowledged is lost either way.
    pub async fn stop(self) -> bool {
        self.state.draining.store(true, Ordering::Relaxed);
        let answered = tokio::time::timeout(ANSWER_LIMIT, self.broker.stop()).await;
        let closed = tokio::time::timeout(DRAIN_LIMIT - ANSWER_LIMIT, async {
            self.log.close().await;
            self.console.stop().await;
        });
        closed.await.is_ok() && answered.is_ok()
    }
}

fn broker_settings(settings: &Settings, cluster_id: String) -> BrokerSettings {
    let defaults = BrokerSettings::default();
    let kafka = &settings.kafka;
    BrokerSettings {
        cluster_id,
        auto_create_topics: kafka.auto_create_topics,
        num_partitions: kafka.num_partitions,
        default_replication_factor: kafka.default_replication_factor,
        message_max_bytes: kafka.message_max_bytes,
        frame_bytes_max: kafka.frame_bytes_max,
        fetch_bytes_max: kafka.fetch_bytes_max,
        connections_max: kafka.connections_max,
        request_bytes_in_flight: kafka.request_bytes_in_flight.unwrap_or(defaults.request_bytes_in_flight),
        idle_timeout: kafka.idle_timeout,
        storage: settings.store.to_string(),
        kafka: settings.kafka_given.clone(),
        ..defaults
    }
}
