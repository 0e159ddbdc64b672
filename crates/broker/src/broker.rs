//! The listener, the connections behind it, and their end.

use crate::connection;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::settings::BrokerSettings;
use crate::stopping::{StopSignal, Stopping};
use crate::transaction;
use frazil_log::Log;
use frazil_meta::state::Broker as Registration;
use prometheus_client::registry::Registry;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinHandle, JoinSet};

/// How long connections may take to answer what is in flight when the broker stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Pause after the system refused a connection, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running Kafka server.
pub struct Broker {
    local_addr: Option<SocketAddr>,
    stopping: StopSignal,
    acceptor: JoinHandle<()>,
    groups: JoinHandle<()>,
    timeouts: JoinHandle<()>,
}

impl Broker {
    /// Serves `listener` until [`Broker::stop`]. The log stays the caller's, to be closed after the broker has stopped.
    pub fn start(log: Log, settings: BrokerSettings, listener: TcpListener, registry: &mut Registry) -> Broker {
        let own = own_registration(&log);
        let local_addr = listener.local_addr().ok();
        let metrics = Metrics::register(registry);
        let node = Arc::new(Node::new(log, own, local_addr, settings, metrics));
        let stopping = StopSignal::default();
        let groups = tokio::spawn(node.groups.clone().run(stopping.subscribe()));
        let timeouts = tokio::spawn(transaction::timeouts::run(node.clone(), stopping.subscribe()));
        let acceptor = tokio::spawn(accept(node, listener, stopping.subscribe()));
        Broker { local_addr, stopping, acceptor, groups, timeouts }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// When the operating system could not tell at the start.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr.expect("a bound socket has an address")
    }

    /// Stops accepting, answers what is in flight, ends long polls, closes the connections. Takes at most 15 seconds.
    pub async fn stop(self) {
        self.stopping.give();
        if let Err(error) = self.acceptor.await {
            tracing::error!(%error, "the acceptor had ended");
        }
        if let Err(error) = self.groups.await {
            tracing::error!(%error, "the coordinator of groups had ended");
        }
        if let Err(error) = self.timeouts.await {
            tracing::error!(%error, "the task that aborts transactions had ended");
        }
    }
}

/// This broker's registration; `None` if another broker has taken the log over meanwhile.
fn own_registration(log: &Log) -> Option<Registration> {
    let epoch = log.epoch();
    let state = log.state();
    state.brokers().find(|broker| broker.epoch == epoch).cloned()
}

async fn accept(node: Arc<Node>, listener: TcpListener, stopping: Stopping) {
    let mut connections = JoinSet::new();
    let mut stop = stopping.clone();
    loop {
        tokio::select! {
            biased;
            () = stop.stopped() => break,
            Some(ended) = connections.join_next() => connection_ended(&node, ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(&node, &mut connections, stream, peer, &stopping),
                Err(error) => refused(error).await,
            },
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(DRAIN_TIMEOUT, async {
        while let Some(ended) = connections.join_next().await {
            connection_ended(&node, ended);
        }
    });
    if drained.await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut: they did not finish in time");
        connections.shutdown().await;
    }
}

fn admit(node: &Arc<Node>, connections: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr, stopping: &Stopping) {
    if connections.len() >= node.settings.connections_max {
        node.metrics.connections_rejected.inc();
        tracing::debug!(%peer, most = node.settings.connections_max, "too many connections: closed at once");
        return;
    }
    node.metrics.connections_accepted.inc();
    node.metrics.connections.inc();
    connections.spawn(connection::serve(node.clone(), stream, stopping.clone()));
}

fn connection_ended(node: &Node, ended: Result<(), JoinError>) {
    node.metrics.connections.dec();
    if let Err(error) = ended {
        node.metrics.panics.inc();
        tracing::error!(%error, "a connection was closed because its handler panicked, which is a bug");
    }
}

async fn refused(error: io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
