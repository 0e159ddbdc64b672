//! A transactional producer as far as a load generator needs it, and how long its commits take.
//!
//! It speaks the protocol before KIP-890, which both systems serve: partitions are added, batches sent, the end asked
//! for. Kafka answers the end before its markers are written and then refuses the next transaction for a while; so the
//! time of a whole transaction is told beside that of the end's answer.

use crate::protocol::Control;
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use frazil_wire::batch::ProducerFields;
use frazil_wire::{BatchBuilder, Compression};
use hdrhistogram::Histogram;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiKey, EndTxnRequest, EndTxnResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest, InitProducerIdResponse, ProduceRequest,
    ProduceResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Kafka's codes for "not yet": loading, no coordinator, wrong coordinator, markers of the last one under way.
const NOT_YET: [i16; 4] = [14, 15, 16, 51];
/// Pause before asking again.
const PAUSE: Duration = Duration::from_micros(500);
/// How often something that is not there yet is asked for again.
const TRIES: usize = 60_000;

/// A producer with a transactional id.
#[derive(Debug)]
pub struct Transactional {
    control: Control,
    id: StrBytes,
    /// Its producer id.
    pub producer_id: i64,
    /// Its producer epoch.
    pub epoch: i16,
}

impl Transactional {
    /// Takes the transactional id over.
    pub async fn start(address: SocketAddr, id: &str) -> Result<Transactional> {
        let mut control = Control::connect(address).await?;
        let id = StrBytes::from_string(id.to_owned());
        for _ in 0..TRIES {
            let find = FindCoordinatorRequest::default().with_key(id.clone()).with_key_type(1);
            let found: FindCoordinatorResponse = control.ask(ApiKey::FindCoordinator, 1, &find).await?;
            let init = InitProducerIdRequest::default()
                .with_transactional_id(Some(id.clone().into()))
                .with_transaction_timeout_ms(60_000);
            let started: InitProducerIdResponse = control.ask(ApiKey::InitProducerId, 1, &init).await?;
            if found.error_code == 0 && started.error_code == 0 {
                let (producer_id, epoch) = (started.producer_id.0, started.producer_epoch);
                return Ok(Transactional { control, id, producer_id, epoch });
            }
            ensure!(NOT_YET.contains(&started.error_code), "InitProducerId: error {}", started.error_code);
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::bail!("no coordinator of transactions")
    }

    /// The transactional id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Begins a transaction on partitions 0 to `partitions` of `topic`.
    pub async fn begin(&mut self, topic: &str, partitions: i32) -> Result<()> {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(StrBytes::from_string(topic.to_owned()).into())
            .with_partitions((0..partitions).collect());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.id.clone().into())
            .with_v3_and_below_producer_id(self.producer_id.into())
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        for _ in 0..TRIES {
            let answer: AddPartitionsToTxnResponse = self.control.ask(ApiKey::AddPartitionsToTxn, 1, &request).await?;
            let results = answer.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
            let code = results.map(|result| result.partition_error_code).find(|code| *code != 0).unwrap_or(0);
            if code == 0 {
                return Ok(());
            }
            ensure!(NOT_YET.contains(&code), "AddPartitionsToTxn: error {code}");
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::bail!("the next transaction could not begin")
    }

    /// Commits.
    pub async fn commit(&mut self) -> Result<()> {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id.clone().into())
            .with_producer_id(self.producer_id.into())
            .with_producer_epoch(self.epoch)
            .with_committed(true);
        let answer: EndTxnResponse = self.control.ask(ApiKey::EndTxn, 1, &request).await?;
        ensure!(answer.error_code == 0, "EndTxn: error {}", answer.error_code);
        Ok(())
    }

    /// Sends one small record to each partition, in one request.
    async fn produce_one_to_each(&mut self, topic: &str, partitions: i32, sequence: i32) -> Result<()> {
        let fields = ProducerFields { id: self.producer_id, epoch: self.epoch, base_sequence: sequence };
        let mut builder = BatchBuilder::new(Compression::None).producer(fields).transactional();
        builder.push(1, None, Some(&[7; 100]), &[]);
        let batch: Bytes = builder.build();
        let data =
            (0..partitions).map(|at| PartitionProduceData::default().with_index(at).with_records(Some(batch.clone())));
        let topic = TopicProduceData::default()
            .with_name(StrBytes::from_string(topic.to_owned()).into())
            .with_partition_data(data.collect());
        let request = ProduceRequest::default()
            .with_transactional_id(Some(self.id.clone().into()))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        let answer: ProduceResponse = self.control.ask(ApiKey::Produce, 8, &request).await?;
        let rows = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        let code = rows.map(|row| row.error_code).find(|code| *code != 0);
        ensure!(code.is_none(), "Produce: error {code:?}");
        Ok(())
    }
}

/// Times of transactions, in microseconds.
#[derive(Debug)]
pub struct CommitFigures {
    /// One produce request of all partitions.
    pub append_us: Histogram<u64>,
    /// From the request for the end to its answer.
    pub commit_us: Histogram<u64>,
    /// A whole transaction, from its beginning to its end.
    pub transaction_us: Histogram<u64>,
}

impl CommitFigures {
    /// One line for people.
    pub fn line(&self) -> String {
        let show = |name: &str, histogram: &Histogram<u64>| {
            let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
            format!("{name} p50 {:6.2} p99 {:6.2} ms", ms(0.5), ms(0.99))
        };
        let parts = [
            show("produce", &self.append_us),
            show("commit", &self.commit_us),
            show("transaction", &self.transaction_us),
        ];
        format!("{}  ({} transactions)", parts.join("   "), self.commit_us.len())
    }
}

/// Runs transactions of one record in each of `partitions` partitions, one after the other.
pub async fn commits(
    address: SocketAddr,
    topic: &str,
    partitions: i32,
    warm_up: Duration,
    duration: Duration,
) -> Result<CommitFigures> {
    let histogram = || Histogram::new_with_bounds(1, 600_000_000, 3).expect("valid bounds");
    let mut figures = CommitFigures { append_us: histogram(), commit_us: histogram(), transaction_us: histogram() };
    let mut producer = Transactional::start(address, "bench-commits").await.context("starting the producer")?;
    let began = Instant::now();
    for sequence in 0.. {
        let begun = Instant::now();
        producer.begin(topic, partitions).await?;
        let sent = Instant::now();
        producer.produce_one_to_each(topic, partitions, sequence).await?;
        let asked = Instant::now();
        producer.commit().await?;
        let ended = Instant::now();
        if began.elapsed() > warm_up {
            figures.append_us.saturating_record((asked - sent).as_micros() as u64);
            figures.commit_us.saturating_record((ended - asked).as_micros() as u64);
            figures.transaction_us.saturating_record((ended - begun).as_micros() as u64);
        }
        if began.elapsed() > warm_up + duration {
            break;
        }
    }
    Ok(figures)
}
