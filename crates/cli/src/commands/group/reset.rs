//! `frazil group reset`: moves committed offsets, after having shown where to.

use crate::args::{ClusterArgs, parse_duration};
use crate::client::{Client, ClientError, CommittedOffset, MemberIdentity, TopicPartition};
use crate::exit::{Exit, Failure, Outcome};
use crate::group::reset::{Known, NewOffset, Target, plan};
use crate::group::scope::{TopicScope, parse_scope};
use crate::output::{Format, Listing, column, counted, wide};
use crate::time::Timestamp;
use clap::ArgGroup;
use frazil_base::Env;
use kafka_protocol::error::ResponseError;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) const EXAMPLES: &str = "\
Nothing is changed without --execute. The group must have no members.

Examples:
  frazil group reset billing --to-earliest --all-topics
  frazil group reset billing --to-time 2026-07-01T08:00:00+02:00 --topic orders
  frazil group reset billing --by-duration 1h --topic orders:0,2-4 --execute
  frazil group reset billing --shift-by -100 --topic orders --execute";

/// Arguments of `frazil group reset`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "frazil group reset <GROUP> <WHERE TO> <--topic <TOPIC>|--all-topics> [--execute]")]
#[command(group = ArgGroup::new("where to").required(true))]
#[command(group = ArgGroup::new("which partitions").required(true).multiple(true))]
pub struct ResetArgs {
    /// Name of the group; one that does not exist is made
    group: String,
    /// To the first record
    #[arg(long, group = "where to", help_heading = "Where to (one of them)")]
    to_earliest: bool,
    /// Behind the last record
    #[arg(long, group = "where to", help_heading = "Where to (one of them)")]
    to_latest: bool,
    /// To the first record since: 2026-07-01T08:00:00Z, -15m
    #[arg(
        long,
        value_name = "TIME",
        group = "where to",
        help_heading = "Where to (one of them)",
        allow_hyphen_values = true
    )]
    to_time: Option<String>,
    /// To the first record of the last 15m, 1h, 7d
    #[arg(long, value_name = "TIME", group = "where to", help_heading = "Where to (one of them)",
          value_parser = parse_duration)]
    by_duration: Option<Duration>,
    /// To this offset
    #[arg(long, value_name = "OFFSET", group = "where to", help_heading = "Where to (one of them)",
          value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// So many records forward, or back: -100
    #[arg(
        long,
        value_name = "RECORDS",
        group = "where to",
        help_heading = "Where to (one of them)",
        allow_hyphen_values = true
    )]
    shift_by: Option<i64>,
    /// A topic, or some of its partitions; may be repeated
    #[arg(short, long = "topic", value_name = "TOPIC[:N,N-N]", value_parser = parse_scope, group = "which partitions")]
    topics: Vec<TopicScope>,
    /// All partitions that the group has committed offsets of
    #[arg(long, group = "which partitions", conflicts_with = "topics")]
    all_topics: bool,
    /// Do it
    #[arg(long)]
    execute: bool,
    /// Only show it (the default)
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// How to print
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Shows the plan, and carries it out if that is wanted.
pub async fn run(args: ResetArgs) -> Outcome {
    let target = target(&args)?;
    let client = args.cluster.client();
    refuse_active(&client, &args.group).await?;
    let committed = client.committed(&args.group, None, false).await?;
    let places = places(&client, &args, &committed).await?;
    let known = known(&client, target, &places, &committed).await?;
    let planned = plan(target, &known).map_err(|error| {
        Failure::new(error)
            .advising("name other partitions with --topic, or choose a place with --to-offset, --to-latest")
    })?;
    listing(&known, &planned).show(args.output)?;
    if !args.execute {
        let offsets = counted(planned.len(), "offset");
        eprintln!("dry run: nothing was changed; repeat it with --execute to reset {offsets}");
        return Ok(Exit::Ok);
    }
    let offsets = planned.iter().map(|(place, new)| (place.clone(), new.offset)).collect();
    let reset = client.commit_offsets(&args.group, &MemberIdentity::NOBODY, &offsets).await;
    reset.map_err(|error| members_came(error, &args.group))?;
    eprintln!("group {}: {} reset", args.group, counted(planned.len(), "offset"));
    Ok(Exit::Ok)
}

fn target(args: &ResetArgs) -> Result<Target, Failure> {
    let now_ms = Env::system().clock.now_ms();
    let parsed = match (&args.to_time, args.by_duration, args.to_offset, args.shift_by) {
        (Some(text), ..) => {
            let wrong = || {
                Failure::usage(format!("{text:?} is no time"))
                    .advising("write 2026-07-01T08:00:00Z, 2026-07-01T08:00:00+02:00, 2026-07-01, -15m, or milliseconds since 1970")
            };
            Target::Time(Timestamp::parse_from(text, now_ms).ok_or_else(wrong)?.0)
        }
        (_, Some(back), ..) => {
            Target::Time(now_ms.saturating_sub(i64::try_from(back.as_millis()).unwrap_or(i64::MAX)).max(0))
        }
        (_, _, Some(offset), _) => Target::Offset(offset),
        (_, _, _, Some(records)) => Target::ShiftBy(records),
        _ if args.to_earliest => Target::Earliest,
        _ => Target::Latest,
    };
    match parsed {
        // Kafka reads -1 and -2 as names of places.
        Target::Time(moment) if moment < 0 => Err(Failure::usage("there are no records from before 1970")),
        target => Ok(target),
    }
}

/// As Kafka's tool: members would not notice, and commit their own places over it.
async fn refuse_active(client: &Client, group: &str) -> Result<(), Failure> {
    match client.describe_group(group).await {
        Ok(described) if described.is_active() => {
            let cause =
                format!("offsets of group {group} cannot be reset while it is in use: {}", described.activity());
            let next = format!("stop its members (see them with `frazil group describe {group}`), then repeat this");
            Err(Failure::new(anyhow::anyhow!(cause)).advising(next))
        }
        Ok(_) => Ok(()),
        Err(error) if error.is(ResponseError::GroupIdNotFound) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The broker refuses strangers while there are members.
fn members_came(error: ClientError, group: &str) -> Failure {
    let is_refusal =
        [ResponseError::UnknownMemberId, ResponseError::IllegalGeneration, ResponseError::RebalanceInProgress];
    if !is_refusal.iter().any(|refusal| error.is(*refusal)) {
        return error.into();
    }
    let cause = format!("members joined group {group} meanwhile; nothing was reset");
    Failure::new(anyhow::Error::from(error).context(cause))
        .advising(format!("stop its members (see them with `frazil group describe {group}`), then repeat this"))
}

async fn places(
    client: &Client,
    args: &ResetArgs,
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<BTreeSet<TopicPartition>, Failure> {
    if args.all_topics {
        if committed.is_empty() {
            return Err(Failure::new(anyhow::anyhow!("group {} has no committed offsets", args.group))
                .advising("name topics with --topic, or see the groups with `frazil group list`"));
        }
        return Ok(committed.keys().cloned().collect());
    }
    let mut places = BTreeSet::new();
    for scope in &args.topics {
        let existing = client.partitions(&scope.topic).await?;
        let is_meant = |place: &&TopicPartition| match &scope.partitions {
            Some(partitions) => partitions.contains(&place.partition),
            None => true,
        };
        let wanted = scope.partitions.iter().flatten().map(|partition| TopicPartition::new(&scope.topic, *partition));
        refuse_missing(wanted.filter(|place| !existing.contains(place)).collect())?;
        places.extend(existing.iter().filter(is_meant).cloned());
    }
    Ok(places)
}

fn refuse_missing(missing: Vec<TopicPartition>) -> Result<(), Failure> {
    let Some(first) = missing.first() else { return Ok(()) };
    let next = format!("see its partitions with `frazil topic describe {}`", first.topic);
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Err(Failure::new(anyhow::anyhow!("there is no partition {}", missing.join(", "))).advising(next))
}

async fn known(
    client: &Client,
    target: Target,
    places: &BTreeSet<TopicPartition>,
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<BTreeMap<TopicPartition, Known>, Failure> {
    let ranges = client.ranges(places).await?;
    refuse_missing(places.iter().filter(|place| !ranges.contains_key(place)).cloned().collect())?;
    let at_time = match target {
        Target::Time(moment) => client.list_offsets(places, moment).await?,
        _ => BTreeMap::new(),
    };
    let of = |(place, range)| {
        let committed = committed.get(&place).map(|committed| committed.offset);
        let at_time = at_time.get(&place).copied().filter(|offset| *offset >= 0);
        (place, Known { committed, range, at_time })
    };
    Ok(ranges.into_iter().map(of).collect())
}

fn listing(known: &BTreeMap<TopicPartition, Known>, planned: &BTreeMap<TopicPartition, NewOffset>) -> Listing {
    let mut listing = Listing::new(&[
        column("topic"),
        column("partition"),
        column("committed"),
        column("new"),
        column("lag"),
        wide("start"),
        wide("end"),
        column("note"),
    ]);
    for (place, new) in planned {
        let Known { committed, range, .. } = known[place];
        listing.push(vec![
            place.topic.clone().into(),
            place.partition.into(),
            committed.into(),
            new.offset.into(),
            (range.end - new.offset).into(),
            range.start.into(),
            range.end.into(),
            new.note.map(|note| note.text()).into(),
        ]);
    }
    listing
}
