//! `frazil topic`: create, list, describe, alter, delete; and deleting records.

mod delete_records;

use super::tally::Tally;
use crate::args::{ClusterArgs, parse_pair};
use crate::client::{Client, ClientError, TopicDescription};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Listing, column, print_facts, screen_columns, whole, wide};
use kafka_protocol::error::ResponseError;
use serde_json::{Value, json};
use std::io::{self, Write};

/// What to do with topics.
#[derive(Debug, clap::Subcommand)]
pub enum TopicVerb {
    /// Create topics
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// List topics
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a topic's partitions, offsets and settings
    #[command(after_help = DESCRIBE_EXAMPLES)]
    Describe(DescribeArgs),
    /// Change settings, add partitions
    #[command(after_help = ALTER_EXAMPLES)]
    Alter(AlterArgs),
    /// Delete topics and their data
    #[command(visible_alias = "rm")]
    Delete(DeleteArgs),
    /// Delete the oldest records of a topic
    #[command(after_help = delete_records::EXAMPLES)]
    DeleteRecords(delete_records::DeleteRecordsArgs),
}

const CREATE_EXAMPLES: &str = "\
Examples:
  frazil topic create orders --partitions 6
  frazil topic create audit -c retention.ms=604800000 -c max.message.bytes=2000000
  frazil topic create orders --if-not-exists";

const DESCRIBE_EXAMPLES: &str = "\
With --configs, EFFECT says `none` for settings of Kafka that are accepted and
stored here but change nothing; -o wide tells what each setting does.

Examples:
  frazil topic describe orders
  frazil topic describe orders --configs
  frazil topic describe orders --configs -o csv | grep ',topic,'";

const ALTER_EXAMPLES: &str = "\
Examples:
  frazil topic alter orders --config retention.ms=86400000 --dry-run
  frazil topic alter orders --reset retention.ms
  frazil topic alter orders --partitions 12";

/// Arguments of `frazil topic create`.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// Names of the topics
    #[arg(required = true)]
    topics: Vec<String>,
    /// Partitions [default: the broker's num.partitions]
    #[arg(short, long)]
    partitions: Option<i32>,
    /// A setting: name=value; may be repeated
    #[arg(short = 'c', long = "config", value_parser = parse_pair, value_name = "NAME=VALUE")]
    configs: Vec<(String, String)>,
    /// A topic that exists is no failure
    #[arg(long)]
    if_not_exists: bool,
    /// Only check
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Arguments of `frazil topic list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// How to print
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Arguments of `frazil topic describe`.
#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    /// Name of the topic
    topic: String,
    /// Show the settings, too
    #[arg(long)]
    configs: bool,
    /// How to print
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Arguments of `frazil topic alter`.
#[derive(Debug, clap::Args)]
pub struct AlterArgs {
    /// Name of the topic
    topic: String,
    /// A setting: name=value; may be repeated
    #[arg(short = 'c', long = "config", value_parser = parse_pair, value_name = "NAME=VALUE")]
    configs: Vec<(String, String)>,
    /// A setting that goes back to its default; may be repeated
    #[arg(long, value_name = "NAME")]
    reset: Vec<String>,
    /// Partitions in all, afterwards
    #[arg(short, long)]
    partitions: Option<i32>,
    /// Only check
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Arguments of `frazil topic delete`.
#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Names of the topics
    #[arg(required = true)]
    topics: Vec<String>,
    /// A topic that does not exist is no failure
    #[arg(long)]
    if_exists: bool,
    /// Only check
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs one of the verbs.
pub async fn run(verb: TopicVerb) -> Outcome {
    match verb {
        TopicVerb::Create(args) => create(args).await,
        TopicVerb::List(args) => list(args).await,
        TopicVerb::Describe(args) => describe(args).await,
        TopicVerb::Alter(args) => alter(args).await,
        TopicVerb::Delete(args) => delete(args).await,
        TopicVerb::DeleteRecords(args) => delete_records::run(args).await,
    }
}

async fn create(args: CreateArgs) -> Outcome {
    let client = args.cluster.client();
    let mut tally = Tally::of("topic");
    for topic in &args.topics {
        let created = client.create_topic(topic, args.partitions, &args.configs, args.dry_run).await;
        let exists_already = is(&created, ResponseError::TopicAlreadyExists) && args.if_not_exists;
        let done = match (exists_already, args.dry_run) {
            (true, _) => "exists already",
            (false, true) => "can be created",
            (false, false) => "created",
        };
        tally.add(if exists_already { Ok(()) } else { created }, topic, done);
    }
    tally.outcome()
}

async fn delete(args: DeleteArgs) -> Outcome {
    let client = args.cluster.client();
    let mut tally = Tally::of("topic");
    for topic in &args.topics {
        let deleted = match args.dry_run {
            true => client.topics(Some(std::slice::from_ref(topic))).await.map(drop),
            false => client.delete_topic(topic).await,
        };
        let is_missing = is(&deleted, ResponseError::UnknownTopicOrPartition) && args.if_exists;
        let done = match (is_missing, args.dry_run) {
            (true, _) => "does not exist",
            (false, true) => "would be deleted",
            (false, false) => "deleted",
        };
        tally.add(if is_missing { Ok(()) } else { deleted }, topic, done);
    }
    tally.outcome()
}

fn is(result: &Result<(), ClientError>, expected: ResponseError) -> bool {
    result.as_ref().is_err_and(|error| error.is(expected))
}

async fn alter(args: AlterArgs) -> Outcome {
    if args.configs.is_empty() && args.reset.is_empty() && args.partitions.is_none() {
        return Err(Failure::usage("nothing to change").advising("give --config, --reset or --partitions"));
    }
    let client = args.cluster.client();
    let set = args.configs.into_iter().map(|(name, value)| (name, Some(value)));
    let changes: Vec<_> = set.chain(args.reset.into_iter().map(|name| (name, None))).collect();
    if !changes.is_empty() {
        client.alter_topic(&args.topic, &changes, args.dry_run).await?;
    }
    if let Some(total) = args.partitions {
        client.create_partitions(&args.topic, total, args.dry_run).await?;
    }
    eprintln!("topic {} {}", args.topic, if args.dry_run { "can be changed" } else { "changed" });
    Ok(Exit::Ok)
}

async fn list(args: ListArgs) -> Outcome {
    let client = args.cluster.client();
    let mut listing =
        Listing::new(&[column("name"), column("partitions"), wide("replicas"), wide("internal"), wide("id")]);
    for topic in client.topics(None).await? {
        let partitions = topic.leaders.len();
        listing.push(vec![
            topic.name.into(),
            partitions.into(),
            topic.replicas.into(),
            topic.internal.into(),
            topic.id.into(),
        ]);
    }
    listing.show(args.output)?;
    Ok(Exit::Ok)
}

async fn describe(args: DescribeArgs) -> Outcome {
    let client = args.cluster.client();
    let topics = client.topics(Some(std::slice::from_ref(&args.topic))).await?;
    let Some(topic) = topics.first() else {
        return Err(Failure::new(anyhow::anyhow!("the broker says nothing about topic {}", args.topic)));
    };
    let partitions = partitions(&client, topic).await?;
    let configs = if args.configs { Some(configs(&client, &args.topic).await?) } else { None };
    let mut out = io::stdout().lock();
    match args.output {
        Format::Table | Format::Wide => {
            let count = topic.leaders.len().to_string();
            print_facts(&[("topic", topic.name.clone()), ("id", topic.id.clone()), ("partitions", count)], &mut out)?;
            for listing in [Some(partitions), configs].iter().flatten() {
                writeln!(out)?;
                listing.print_within(args.output, screen_columns(), &mut out)?;
            }
        }
        Format::Csv | Format::Jsonl => configs.unwrap_or(partitions).print(args.output, &mut out)?,
        Format::Json => {
            let mut object = json!({ "topic": topic.name, "id": topic.id, "partitions": partitions.to_json() });
            if let Some(configs) = configs {
                object["configs"] = configs.to_json();
            }
            serde_json::to_writer_pretty(&mut out, &object).map_err(Failure::new)?;
            writeln!(out)?;
        }
    }
    Ok(Exit::Ok)
}

async fn partitions(client: &Client, topic: &TopicDescription) -> Result<Listing, ClientError> {
    let offsets = client.offsets(&topic.name).await?;
    let mut listing =
        Listing::new(&[column("partition"), column("leader"), column("start"), column("end"), column("records")]);
    for (partition, leader) in &topic.leaders {
        let seen = offsets.get(partition);
        let number = |number: Option<i64>| number.map_or(Value::Null, Value::from);
        listing.push(vec![
            (*partition).into(),
            (*leader).into(),
            number(seen.map(|offsets| offsets.start)),
            number(seen.map(|offsets| offsets.end)),
            number(seen.map(|offsets| offsets.end - offsets.start)),
        ]);
    }
    Ok(listing)
}

async fn configs(client: &Client, topic: &str) -> Result<Listing, ClientError> {
    let mut listing = Listing::new(&[
        whole("setting"),
        column("value"),
        column("source"),
        column("default"),
        column("effect"),
        wide("documentation"),
    ]);
    for config in client.topic_configs(topic).await? {
        listing.push(vec![
            config.name.into(),
            config.value.into(),
            config.source.into(),
            config.default.into(),
            if config.has_effect { "yes" } else { "none" }.into(),
            config.documentation.into(),
        ]);
    }
    Ok(listing)
}
