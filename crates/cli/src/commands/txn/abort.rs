//! `frazil txn abort`: ends a transaction that its producer does not end.
//!
//! By its id: the coordinator aborts it everywhere and the producer is fenced, as if a new one had started with that id.
//! By a place: a marker is written into one partition, for a transaction that its coordinator has forgotten.

use crate::args::ClusterArgs;
use crate::client::{Client, OpenTransaction, TopicPartition};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::counted;
use clap::ArgGroup;
use std::collections::BTreeSet;

pub(super) const EXAMPLES: &str = "\
The producer of the transaction is fenced: it must be restarted if it is there.

Examples:
  frazil txn abort billing-1 --dry-run
  frazil txn abort billing-1
  frazil txn abort --topic orders --partition 3 --start-offset 1200

The last is for a transaction whose coordinator knows nothing of it.";

/// Arguments of `frazil txn abort`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).args(["id", "topic"]))]
pub struct AbortArgs {
    /// The transactional id
    #[arg(value_name = "TRANSACTIONAL_ID")]
    id: Option<String>,
    /// Topic of a transaction whose coordinator has forgotten it
    #[arg(long, requires = "partition", requires = "start_offset", help_heading = "By place")]
    topic: Option<String>,
    /// Its partition
    #[arg(long, value_name = "N", requires = "topic", help_heading = "By place")]
    partition: Option<i32>,
    /// Offset of its first record there
    #[arg(long, value_name = "OFFSET", requires = "topic", help_heading = "By place")]
    start_offset: Option<i64>,
    /// Only check
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Aborts.
pub async fn run(args: AbortArgs) -> Outcome {
    let client = args.cluster.client();
    match (&args.id, &args.topic, args.partition, args.start_offset) {
        (Some(id), ..) => by_id(&client, id, args.dry_run).await,
        (None, Some(topic), Some(partition), Some(offset)) => {
            by_place(&client, &TopicPartition::new(topic, partition), offset, args.dry_run).await
        }
        _ => Err(Failure::usage("name a transactional id, or --topic, --partition and --start-offset")),
    }
}

async fn by_id(client: &Client, id: &str, dry_run: bool) -> Outcome {
    let described = client.describe_transaction(id).await?;
    if described.is_ending() {
        let cause = format!("transactional id {id} is {}: its end is decided and on its way", described.state);
        return Err(
            Failure::new(anyhow::anyhow!(cause)).advising(format!("look again with `frazil txn describe {id}`"))
        );
    }
    if !described.is_open() {
        eprintln!("transactional id {id} has no open transaction ({}); nothing to abort", described.state);
        return Ok(Exit::Ok);
    }
    if !dry_run {
        client.abort_transaction(id).await?;
    }
    let done = if dry_run { "would be aborted" } else { "aborted" };
    eprintln!("transaction of {id} on {} {done}", counted(described.partitions.len(), "partition"));
    Ok(Exit::Ok)
}

async fn by_place(client: &Client, place: &TopicPartition, first_offset: i64, dry_run: bool) -> Outcome {
    let open = client.open_transactions(&BTreeSet::from([place.clone()])).await?.remove(place).ok_or_else(|| {
        Failure::new(anyhow::anyhow!("there is no partition {place}"))
            .advising(format!("see its partitions with `frazil topic describe {}`", place.topic))
    })?;
    let Some(transaction) = open.iter().find(|open| open.first_offset == first_offset) else {
        return Err(not_there(place, first_offset, &open));
    };
    if !dry_run {
        client.write_abort_marker(place, transaction).await?;
    }
    let done = if dry_run { "would be aborted" } else { "aborted" };
    let (producer, epoch) = (transaction.producer_id, transaction.producer_epoch);
    eprintln!("transaction of producer {producer} (epoch {epoch}) in {place} {done}");
    Ok(Exit::Ok)
}

fn not_there(place: &TopicPartition, first_offset: i64, open: &[OpenTransaction]) -> Failure {
    let offsets: Vec<String> = open.iter().map(|open| open.first_offset.to_string()).collect();
    let next = match offsets.is_empty() {
        true => format!("no transaction is open in {place}"),
        false => format!("transactions are open in {place} at {}", offsets.join(", ")),
    };
    Failure::new(anyhow::anyhow!("no transaction begins at offset {first_offset} of {place}")).advising(next)
}
