//! Asking the right broker: the controller, the coordinator of a group or transaction, or every one of them.

use super::{Client, ClientError, Connection, Node, check, text};
use crate::settings::HostPort;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::Request;
use std::sync::Arc;

/// What is coordinated; the numbers are those of `FindCoordinator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CoordinatorKind {
    /// A consumer group.
    Group = 0,
    /// A transactional id.
    Transaction = 1,
}

impl CoordinatorKind {
    fn name(self) -> &'static str {
        match self {
            CoordinatorKind::Group => "group",
            CoordinatorKind::Transaction => "transactional id",
        }
    }
}

/// What all brokers said.
pub(super) struct Everyone<R> {
    pub answers: Vec<(Node, R)>,
    /// Those without an answer, and why.
    pub silent: Vec<(Node, ClientError)>,
}

/// What there is on all brokers that answered.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// The things, in order.
    pub all: Vec<T>,
    /// The brokers that did not answer, and why.
    pub silent: Vec<(Node, ClientError)>,
}

impl Client {
    /// Asks the controller, again while that may help. `check` finds the refusal in an answer.
    pub(super) async fn ask_controller<R: Request>(
        &self,
        request: &R,
        check: impl Fn(&R::Response) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        self.retrying(|| async { check(&self.controller().await?.call(request, self.timeout()).await?) }).await
    }

    async fn controller(&self) -> Result<Arc<Connection>, ClientError> {
        let metadata = self.metadata(Some(&[]), false).await?;
        if metadata.controller_id.0 < 0 { self.any().await } else { self.node(metadata.controller_id.0).await }
    }

    /// Asks the coordinator of a key, again while that may help. `read` takes the answer apart, or finds the refusal in
    /// it; it is given the coordinator, too.
    pub(super) async fn ask_coordinator<R: Request, T>(
        &self,
        kind: CoordinatorKind,
        key: &str,
        request: &R,
        read: impl Fn(Node, R::Response) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.retrying(|| async {
            let node = self.coordinator(kind, key).await?;
            let response = self.node(node.id).await?.call(request, self.timeout()).await?;
            read(node, response)
        })
        .await
    }

    /// The coordinator of a key, remembered until something goes wrong. Does not repeat anything.
    pub async fn coordinator(&self, kind: CoordinatorKind, key: &str) -> Result<Node, ClientError> {
        if let Some(node) = self.inner.coordinators.lock().get(&(kind, key.to_string())) {
            return Ok(node.clone());
        }
        let request =
            FindCoordinatorRequest::default().with_key_type(kind as i8).with_coordinator_keys(vec![text(key)]);
        let response = self.any().await?.call(&request, self.timeout()).await?;
        let what = || format!("coordinator of {} {key}", kind.name());
        let Some(found) = response.coordinators.first() else {
            check(ResponseError::CoordinatorNotAvailable.code(), what, None)?;
            return Err(ClientError::no_answer(what()));
        };
        check(found.error_code, what, found.error_message.as_ref())?;
        let address = HostPort { host: found.host.to_string(), port: u16::try_from(found.port).unwrap_or(0) };
        let node = Node { id: found.node_id.0, address, rack: None };
        self.inner.nodes.lock().entry(node.id).or_insert_with(|| node.clone());
        self.inner.coordinators.lock().insert((kind, key.to_string()), node.clone());
        Ok(node)
    }

    /// Asks all brokers at once, each again while that may help. Some may stay silent; if all do, that is an error.
    pub(super) async fn ask_everyone<R: Request>(
        &self,
        request: &R,
        check: impl Fn(&R::Response) -> Result<(), ClientError>,
    ) -> Result<Everyone<R::Response>, ClientError> {
        self.retrying(|| self.metadata(Some(&[]), false)).await?;
        let check = &check;
        let asks = self.nodes().into_iter().map(|node| async move {
            let id = node.id;
            let asked = self.retrying(|| async {
                let response = self.node(id).await?.call(request, self.timeout()).await?;
                check(&response)?;
                Ok(response)
            });
            (node, asked.await)
        });
        let mut everyone = Everyone { answers: Vec::new(), silent: Vec::new() };
        for (node, asked) in futures::future::join_all(asks).await {
            match asked {
                Ok(response) => everyone.answers.push((node, response)),
                Err(error) => everyone.silent.push((node, error)),
            }
        }
        match everyone.silent.first() {
            Some((_, error)) if everyone.answers.is_empty() => Err(error.clone()),
            _ => Ok(everyone),
        }
    }
}
