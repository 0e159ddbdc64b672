//! `frazil topic delete-records`: forgets the oldest records of a topic.

use crate::args::ClusterArgs;
use crate::client::{Client, PartitionOffsets, TopicPartition};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Listing, column, counted};
use crate::time::Timestamp;
use clap::ArgGroup;
use frazil_base::Env;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const EXAMPLES: &str = "\
Deleted records are gone. Look first with --dry-run.

Examples:
  frazil topic delete-records orders --before-time -7d --dry-run
  frazil topic delete-records orders --before-time 2026-07-01T00:00:00Z
  frazil topic delete-records orders --partition 3 --before-offset 1200
  frazil topic delete-records orders --all";

/// Arguments of `frazil topic delete-records`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("up to where").required(true))]
pub struct DeleteRecordsArgs {
    /// Name of the topic
    topic: String,
    /// Records before this offset; needs --partition in topics of several
    #[arg(long, value_name = "OFFSET", group = "up to where", value_parser = clap::value_parser!(i64).range(0..))]
    before_offset: Option<i64>,
    /// Records before the first of this time: 2026-07-01T08:00:00Z, -7d
    #[arg(long, value_name = "TIME", group = "up to where", allow_hyphen_values = true)]
    before_time: Option<String>,
    /// All records there are now
    #[arg(long, group = "up to where")]
    all: bool,
    /// Only these partitions, separated by commas
    #[arg(short, long = "partition", value_name = "N", value_delimiter = ',')]
    partitions: Vec<i32>,
    /// Only check, and show what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// How to print
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What a partition loses.
struct Cut {
    range: PartitionOffsets,
    /// First offset that is kept.
    keep_from: i64,
}

/// Deletes, or shows what would be deleted.
pub async fn run(args: DeleteRecordsArgs) -> Outcome {
    let before_time = args.before_time.as_deref().map(moment).transpose()?;
    let client = args.cluster.client();
    let places = places(&client, &args).await?;
    let cuts = cuts(&client, &args, before_time, &places).await?;
    if !args.dry_run {
        let before = cuts.iter().map(|(place, cut)| (place.clone(), cut.keep_from)).collect();
        let left = client.delete_records(&before).await?;
        // Retention may have deleted more meanwhile.
        let told = |(place, cut): (TopicPartition, Cut)| {
            let keep_from = left.get(&place).copied().unwrap_or(cut.keep_from);
            (place, Cut { keep_from, ..cut })
        };
        return show(&args, cuts.into_iter().map(told).collect(), "deleted");
    }
    show(&args, cuts, "would be deleted")
}

fn moment(text: &str) -> Result<i64, Failure> {
    let moment = Timestamp::parse_from(text, Env::system().clock.now_ms()).filter(|moment| moment.0 >= 0);
    moment.map(|moment| moment.0).ok_or_else(|| {
        Failure::usage(format!("{text:?} is no time")).advising("write 2026-07-01T08:00:00Z, 2026-07-01, or -7d")
    })
}

async fn places(client: &Client, args: &DeleteRecordsArgs) -> Result<BTreeSet<TopicPartition>, Failure> {
    let (topic, existing) = (&args.topic, client.partitions(&args.topic).await?);
    if args.partitions.is_empty() {
        if args.before_offset.is_some() && existing.len() > 1 {
            let cause =
                format!("topic {topic} has {} partitions, and offsets of one mean nothing in another", existing.len());
            return Err(Failure::usage(cause).advising("name it with --partition, or use --before-time"));
        }
        return Ok(existing);
    }
    let wanted: BTreeSet<_> = args.partitions.iter().map(|number| TopicPartition::new(topic, *number)).collect();
    match wanted.iter().find(|place| !existing.contains(place)) {
        Some(missing) => Err(Failure::usage(format!("there is no partition {missing}"))
            .advising(format!("see its partitions with `frazil topic describe {topic}`"))),
        None => Ok(wanted),
    }
}

async fn cuts(
    client: &Client,
    args: &DeleteRecordsArgs,
    before_time: Option<i64>,
    places: &BTreeSet<TopicPartition>,
) -> Result<BTreeMap<TopicPartition, Cut>, Failure> {
    let ranges = client.ranges(places).await?;
    let first_since: BTreeMap<TopicPartition, i64> = match before_time {
        Some(moment) => client.list_offsets(places, moment).await?,
        None => BTreeMap::new(),
    };
    let mut cuts = BTreeMap::new();
    for (place, range) in ranges {
        let wanted = match (args.before_offset, first_since.get(&place)) {
            (Some(offset), _) => offset,
            (None, Some(since)) if *since >= 0 => *since,
            // All records are older, or all are meant.
            (None, _) => range.end,
        };
        if wanted > range.end {
            return Err(Failure::usage(format!("{place} ends at offset {}", range.end))
                .advising(format!("see first and next offsets with `frazil topic describe {}`", place.topic)));
        }
        cuts.insert(place, Cut { range, keep_from: wanted.max(range.start) });
    }
    Ok(cuts)
}

fn show(args: &DeleteRecordsArgs, cuts: BTreeMap<TopicPartition, Cut>, done: &str) -> Outcome {
    let mut listing =
        Listing::new(&[column("partition"), column("start"), column("new_start"), column("end"), column("deleted")]);
    let mut deleted = 0;
    for (place, Cut { range, keep_from }) in &cuts {
        let lost = keep_from - range.start;
        deleted += lost;
        let numbers = [range.start, *keep_from, range.end, lost];
        listing.push([place.partition.into()].into_iter().chain(numbers.map(Into::into)).collect());
    }
    listing.show(args.output)?;
    eprintln!("topic {}: {} {done}", args.topic, counted(deleted as usize, "record"));
    Ok(Exit::Ok)
}
