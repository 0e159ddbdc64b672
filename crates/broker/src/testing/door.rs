//! A broker without sockets, for simulations in virtual time.

use super::{invalid, request_frame, response_of};
use crate::api;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::settings::BrokerSettings;
use crate::stopping::StopSignal;
use crate::transaction;
use bytes::Bytes;
use frazil_log::Log;
use kafka_protocol::protocol::{HeaderVersion, Request};
use prometheus_client::registry::Registry;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Everything of a [`Broker`](crate::Broker) that lies behind its connections. Its tasks end, at whatever point they are,
/// when it is dropped.
pub struct Door {
    node: Arc<Node>,
    stopping: StopSignal,
    tasks: [JoinHandle<()>; 2],
}

impl Door {
    /// Starts the coordinators on this log.
    pub fn open(log: Log, settings: BrokerSettings) -> Door {
        let own = log.state().brokers().find(|broker| broker.epoch == log.epoch()).cloned();
        let node = Arc::new(Node::new(log, own, None, settings, Metrics::register(&mut Registry::default())));
        let stopping = StopSignal::default();
        let groups = tokio::spawn(node.groups.clone().run(stopping.subscribe()));
        let timeouts = tokio::spawn(transaction::timeouts::run(node.clone(), stopping.subscribe()));
        Door { node, stopping, tasks: [groups, timeouts] }
    }

    /// Handles one request as a connection would, from its bytes to the bytes of the answer. Later connections have greater
    /// numbers. An error means that the connection would be closed.
    pub async fn call<R: Request>(&self, connection: u64, version: i16, request: &R) -> io::Result<R::Response> {
        let mut body = bytes::BytesMut::new();
        request.encode(&mut body, version).map_err(invalid)?;
        let frame = request_frame(R::KEY, version, R::header_version(version), 0, "simulated", &body)?;
        let mut request = api::parse(frame.slice(4..)).map_err(invalid)?;
        request.peer.connection = connection;
        let answer = if request.is_produce() {
            api::produce::begin(&self.node, request).await.map_err(invalid)?.await
        } else {
            api::handle(&self.node, request, self.stopping.subscribe()).await.map_err(invalid)?
        };
        let mut answer = Bytes::from(answer.slices.concat()).slice(4..);
        response_of::<R::Response>(&mut answer, <R::Response as HeaderVersion>::header_version(version), version, 0)
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door(broker {})", self.node.id)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
