//! `frazil txn`: transactions, and ending those whose producer does not.

mod abort;

use crate::args::{ClusterArgs, parse_duration};
use crate::client::{Client, ClientError, OpenTransaction, TopicPartition, TransactionDescription, TransactionFilter};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Listing, column, print_facts, screen_columns, wide};
use crate::settings::units::format_duration;
use crate::time::Timestamp;
use frazil_base::Env;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// What to do with transactions.
#[derive(Debug, clap::Subcommand)]
pub enum TxnVerb {
    /// List transactional ids and the state of their transactions
    #[command(visible_alias = "ls", after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Show a transactional id, its open transaction and what that holds up
    #[command(after_help = DESCRIBE_EXAMPLES)]
    Describe(DescribeArgs),
    /// Abort an open transaction
    #[command(after_help = abort::EXAMPLES)]
    Abort(abort::AbortArgs),
}

const LIST_EXAMPLES: &str = "\
Examples:
  frazil txn list
  frazil txn list --longer-than 10m
  frazil txn list --state Ongoing -o json";

const DESCRIBE_EXAMPLES: &str = "\
FIRST_OFFSET is where readers of committed records wait in that partition.

Examples:
  frazil txn describe billing-1
  frazil txn describe billing-1 -o json | jq .state";

/// Arguments of `frazil txn list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only those in these states: Ongoing, CompleteCommit, Empty, …
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Only transactions that run longer than this
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    longer_than: Option<Duration>,
    /// Only those of these producers
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    producer_id: Vec<i64>,
    /// How to print
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Arguments of `frazil txn describe`.
#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    /// The transactional id
    #[arg(value_name = "TRANSACTIONAL_ID")]
    id: String,
    /// How to print; csv and jsonl hold the partitions only
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs one of the verbs.
pub async fn run(verb: TxnVerb) -> Outcome {
    match verb {
        TxnVerb::List(args) => list(args).await,
        TxnVerb::Describe(args) => describe(args).await,
        TxnVerb::Abort(args) => abort::run(args).await,
    }
}

async fn list(args: ListArgs) -> Outcome {
    let filter =
        TransactionFilter { states: args.state, producer_ids: args.producer_id, longer_than: args.longer_than };
    let mut listing =
        Listing::new(&[column("transactional_id"), column("state"), column("producer_id"), wide("coordinator")]);
    for transaction in super::found(args.cluster.client().transactions(&filter).await?, "transactions") {
        listing.push(vec![
            transaction.transactional_id.into(),
            transaction.state.into(),
            transaction.producer_id.into(),
            transaction.coordinator.into(),
        ]);
    }
    listing.show(args.output)?;
    Ok(Exit::Ok)
}

async fn describe(args: DescribeArgs) -> Outcome {
    let client = args.cluster.client();
    let described = client.describe_transaction(&args.id).await?;
    let partitions = partitions(&described, &open_in(&client, &described).await?);
    let mut out = io::stdout().lock();
    match args.output {
        Format::Table | Format::Wide => {
            print_facts(&facts(&described), &mut out)?;
            if !partitions.is_empty() {
                writeln!(out)?;
                partitions.print_within(args.output, screen_columns(), &mut out)?;
            }
        }
        Format::Csv | Format::Jsonl => partitions.print(args.output, &mut out)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &to_json(&described, &partitions)).map_err(Failure::new)?;
            writeln!(out)?;
        }
    }
    Ok(Exit::Ok)
}

/// Where the transaction's records begin. A broker that keeps that to itself, or a partition that is gone, only makes
/// the listing poorer.
async fn open_in(
    client: &Client,
    described: &TransactionDescription,
) -> Result<BTreeMap<TopicPartition, OpenTransaction>, ClientError> {
    let places = described.partitions.iter().cloned().collect();
    let open = match client.open_transactions(&places).await {
        Err(ClientError::Unsupported { .. } | ClientError::Refused { .. }) => BTreeMap::new(),
        other => other?,
    };
    let own = open.into_iter().filter_map(|(place, open)| {
        let own = open.into_iter().find(|open| open.producer_id == described.producer_id)?;
        Some((place, own))
    });
    Ok(own.collect())
}

fn open_for(described: &TransactionDescription) -> Option<Duration> {
    let since = Env::system().clock.now_ms() - described.started_ms?;
    Some(Duration::from_secs(u64::try_from(since / 1_000).unwrap_or(0)))
}

fn facts(described: &TransactionDescription) -> Vec<(&'static str, String)> {
    let coordinator = &described.coordinator;
    let mut facts = vec![
        ("transactional id", described.transactional_id.clone()),
        ("state", described.state.clone()),
        ("coordinator", format!("{} at {}", coordinator.id, coordinator.address)),
        ("producer", format!("{}, epoch {}", described.producer_id, described.producer_epoch)),
        ("timeout", format_duration(described.timeout)),
    ];
    if let (Some(started), Some(open_for)) = (described.started_ms, open_for(described)) {
        facts.push(("started", format!("{} ({} ago)", Timestamp(started), format_duration(open_for))));
    }
    facts.push(("partitions", described.partitions.len().to_string()));
    facts
}

fn partitions(described: &TransactionDescription, open: &BTreeMap<TopicPartition, OpenTransaction>) -> Listing {
    let mut listing =
        Listing::new(&[column("topic"), column("partition"), column("first_offset"), column("last_write")]);
    for place in &described.partitions {
        let open = open.get(place);
        listing.push(vec![
            place.topic.clone().into(),
            place.partition.into(),
            open.map(|open| open.first_offset).into(),
            open.map(|open| Timestamp(open.last_write_ms).to_string()).into(),
        ]);
    }
    listing
}

fn to_json(described: &TransactionDescription, partitions: &Listing) -> Value {
    let coordinator = &described.coordinator;
    json!({
        "transactional_id": described.transactional_id,
        "state": described.state,
        "coordinator": { "id": coordinator.id, "address": coordinator.address.to_string() },
        "producer_id": described.producer_id,
        "producer_epoch": described.producer_epoch,
        "timeout_ms": described.timeout.as_millis() as u64,
        "started_ms": described.started_ms,
        "partitions": partitions.to_json(),
    })
}
