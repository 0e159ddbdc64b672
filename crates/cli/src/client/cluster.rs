//! The cluster as a whole: its brokers and what they can do.

use super::{Client, ClientError, Node, check};
use crate::settings::HostPort;
use kafka_protocol::messages::{ApiVersionsRequest, DescribeClusterRequest};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

/// A feature of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Kafka's name, such as `group.version`.
    pub name: String,
    /// The level that is switched on; 0 if none.
    pub level: i16,
    /// The levels that the broker knows; `None` if it keeps that to itself.
    pub supported: Option<(i16, i16)>,
}

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub id: String,
    /// Node id of the controller; -1 if there is none.
    pub controller: i32,
    /// Its brokers, by node id.
    pub brokers: Vec<Node>,
    /// Its features, by name.
    pub features: Vec<Feature>,
}

impl Client {
    /// The cluster's id, brokers and features.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        // Kafka asks for brokers (1), not controllers (2).
        let request = DescribeClusterRequest::default().with_endpoint_type(1);
        let answer = self.retrying(|| async { self.any().await?.call(&request, self.timeout()).await }).await?;
        check(answer.error_code, || "cluster".to_string(), answer.error_message.as_ref())?;
        let broker = |broker: &kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker| Node {
            id: broker.broker_id.0,
            address: HostPort { host: broker.host.to_string(), port: u16::try_from(broker.port).unwrap_or(0) },
            rack: broker.rack.as_ref().map(ToString::to_string),
        };
        let mut brokers: Vec<Node> = answer.brokers.iter().map(broker).collect();
        brokers.sort_by_key(|broker| broker.id);
        Ok(ClusterDescription {
            id: answer.cluster_id.to_string(),
            controller: answer.controller_id.0,
            brokers,
            features: self.features().await?,
        })
    }

    async fn features(&self) -> Result<Vec<Feature>, ClientError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("frazil"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let answer = self.retrying(|| async { self.any().await?.call(&request, self.timeout()).await }).await?;
        check(answer.error_code, || "features".to_string(), None)?;
        let mut features: BTreeMap<String, Feature> = BTreeMap::new();
        let mut at = |name: &StrBytes, change: &dyn Fn(&mut Feature)| {
            let empty = || Feature { name: name.to_string(), level: 0, supported: None };
            change(features.entry(name.to_string()).or_insert_with(empty));
        };
        for finalized in &answer.finalized_features {
            at(&finalized.name, &|feature| feature.level = finalized.max_version_level);
        }
        for known in &answer.supported_features {
            at(&known.name, &|feature| feature.supported = Some((known.min_version, known.max_version)));
        }
        Ok(features.into_values().collect())
    }
}
