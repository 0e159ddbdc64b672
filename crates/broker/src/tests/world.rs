//! One metadata log and one store in memory, and brokers on them.

use crate::testing::Client;
use crate::{Broker, BrokerSettings};
use frazil_base::{BrokerId, Env};
use frazil_log::{BrokerIdentity, Log, LogOptions};
use frazil_meta::engine::MemoryLog;
use frazil_store::testing::{FaultControls, Faults};
use frazil_store::{MemoryStorage, ObjectStorage};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// What outlives brokers.
pub struct World {
    env: Env,
    engine: MemoryLog,
    store: Arc<dyn ObjectStorage>,
    pub faults: FaultControls,
}

/// A running broker.
pub struct Running {
    pub log: Log,
    pub broker: Broker,
    pub address: SocketAddr,
    pub registry: Registry,
}

impl World {
    /// A log whose segments lie in the store, where they can be held.
    pub fn new() -> World {
        let env = Env::system();
        let (store, faults) = Faults::new(Arc::new(MemoryStorage::new(env.clone())), 7);
        World { env, engine: MemoryLog::new(false), store, faults }
    }

    pub async fn start(&self, id: i32) -> Running {
        self.start_with(id, None, BrokerSettings::default()).await
    }

    pub async fn start_with(&self, id: i32, zone: Option<&str>, settings: BrokerSettings) -> Running {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let identity = BrokerIdentity {
            id: BrokerId(id),
            host: "127.0.0.1".to_owned(),
            port: address.port(),
            zone: zone.map(str::to_owned),
        };
        let mut registry = Registry::default();
        let (engine, store) = (Arc::new(self.engine.handle()), self.store.clone());
        let log = Log::open(engine, store, self.env.clone(), identity, LogOptions::default(), &mut registry).await;
        let log = log.expect("the log opens");
        let broker = Broker::start(log.clone(), settings, listener, &mut registry);
        Running { log, broker, address, registry }
    }

    pub fn now_ms(&self) -> i64 {
        self.env.clock.now_ms()
    }
}

impl Running {
    pub async fn client(&self) -> Client {
        Client::connect(self.address).await.expect("the broker listens")
    }

    /// A client, and a topic for it.
    pub async fn client_with(&self, topic: &str, partitions: i32) -> Client {
        let mut client = self.client().await;
        assert_eq!(client.create_topic(topic, partitions, &[]).await.expect("answered"), 0);
        client
    }

    /// Waits until the broker's log has applied what `other`'s has.
    pub async fn catch_up_with(&self, other: &Running) {
        let target = other.log.state().applied();
        self.log.applied_changes().wait_for(|applied| *applied >= target).await;
    }

    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("metrics can be written");
        text
    }
}
