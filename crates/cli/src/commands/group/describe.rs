//! `frazil group describe`: who reads, how far, and how much is left.

use crate::args::ClusterArgs;
use crate::client::{Client, ClientError, CommittedOffset, GroupDescription, GroupMember, TopicPartition};
use crate::exit::{Exit, Failure, Outcome};
use crate::group::scope::shown_partitions;
use crate::output::{Format, Listing, column, counted, print_facts, screen_columns, wide};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

pub(super) const EXAMPLES: &str = "\
Lag is the number of records between the committed offset and the end.

Examples:
  frazil group describe billing
  frazil group describe billing -o wide
  frazil group describe billing -o json | jq .lag";

/// Arguments of `frazil group describe`.
#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    /// Name of the group
    group: String,
    /// How to print; csv and jsonl hold the partitions only
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// A partition that the group has read, or was given to read.
struct Progress<'a> {
    place: &'a TopicPartition,
    committed: Option<&'a CommittedOffset>,
    /// Offset of the next record that will be written; nothing for a partition that is gone.
    end: Option<i64>,
    reader: Option<&'a GroupMember>,
}

impl Progress<'_> {
    fn lag(&self) -> Option<i64> {
        Some(self.end? - self.committed?.offset)
    }
}

/// Describes one group.
pub async fn run(args: DescribeArgs) -> Outcome {
    let client = args.cluster.client();
    let group = client.describe_group(&args.group).await?;
    let committed = client.committed(&args.group, None, false).await?;
    let ends = ends(&client, &group, &committed).await?;
    let progress = progress(&group, &committed, &ends);
    match args.output {
        Format::Table | Format::Wide => show(&group, &progress, args.output)?,
        Format::Csv | Format::Jsonl => partitions(&progress).show(args.output)?,
        Format::Json => {
            let mut out = io::stdout().lock();
            serde_json::to_writer_pretty(&mut out, &to_json(&group, &progress)).map_err(Failure::new)?;
            writeln!(out)?;
        }
    }
    Ok(Exit::Ok)
}

async fn ends(
    client: &Client,
    group: &GroupDescription,
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
    let assigned = group.members.iter().flat_map(|member| &member.assigned);
    let places: BTreeSet<TopicPartition> = committed.keys().chain(assigned).cloned().collect();
    client.list_offsets(&places, crate::client::LATEST).await
}

fn progress<'a>(
    group: &'a GroupDescription,
    committed: &'a BTreeMap<TopicPartition, CommittedOffset>,
    ends: &BTreeMap<TopicPartition, i64>,
) -> Vec<Progress<'a>> {
    let readers: BTreeMap<&TopicPartition, &GroupMember> =
        group.members.iter().flat_map(|member| member.assigned.iter().map(move |place| (place, member))).collect();
    let places: BTreeSet<&TopicPartition> = committed.keys().chain(readers.keys().copied()).collect();
    let of = |place| Progress {
        place,
        committed: committed.get(place),
        end: ends.get(place).copied(),
        reader: readers.get(place).copied(),
    };
    places.into_iter().map(of).collect()
}

fn total_lag(progress: &[Progress<'_>]) -> i64 {
    progress.iter().filter_map(Progress::lag).sum()
}

fn show(group: &GroupDescription, progress: &[Progress<'_>], output: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    print_facts(&facts(group, progress), &mut out)?;
    for listing in [members(group), partitions(progress)].iter().filter(|listing| !listing.is_empty()) {
        writeln!(out)?;
        listing.print_within(output, screen_columns(), &mut out)?;
    }
    Ok(())
}

fn facts(group: &GroupDescription, progress: &[Progress<'_>]) -> Vec<(&'static str, String)> {
    let kind = match group.assignor.as_str() {
        "" => group.kind.to_string(),
        assignor => format!("{} ({assignor})", group.kind),
    };
    let coordinator = &group.coordinator;
    let mut facts = vec![("group", group.group.clone()), ("state", group.state.clone()), ("type", kind)];
    if !["", "consumer"].contains(&group.protocol_type.as_str()) {
        facts.push(("protocol", group.protocol_type.clone()));
    }
    facts.extend(group.epoch.map(|epoch| ("epoch", epoch.to_string())));
    facts.push(("coordinator", format!("{} at {}", coordinator.id, coordinator.address)));
    facts.push(("members", group.members.len().to_string()));
    let unread = progress.iter().filter(|progress| progress.committed.is_none()).count();
    let lag = total_lag(progress);
    facts.push((
        "lag",
        match (unread, progress.len()) {
            (_, 0) => "- (nothing committed)".to_string(),
            (0, _) => lag.to_string(),
            _ => format!("{lag}, and {} without committed offset", counted(unread, "partition")),
        },
    ));
    facts
}

fn members(group: &GroupDescription) -> Listing {
    let mut listing = Listing::new(&[
        column("member"),
        column("client"),
        column("host"),
        column("assigned"),
        column("instance"),
        wide("epoch"),
    ]);
    for member in &group.members {
        listing.push(vec![
            member.member_id.clone().into(),
            member.client_id.clone().into(),
            member.host.clone().into(),
            shown_places(&member.assigned).into(),
            member.instance_id.clone().into(),
            member.epoch.into(),
        ]);
    }
    listing
}

/// Such as `orders:0-2 payments:1`.
fn shown_places(places: &[TopicPartition]) -> Option<String> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for place in places {
        topics.entry(&place.topic).or_default().push(place.partition);
    }
    let texts = topics.into_iter().map(|(topic, partitions)| format!("{topic}:{}", shown_partitions(partitions)));
    Some(texts.collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty())
}

fn partitions(progress: &[Progress<'_>]) -> Listing {
    let mut listing = Listing::new(&[
        column("topic"),
        column("partition"),
        column("committed"),
        column("end"),
        column("lag"),
        column("member"),
        wide("client"),
        wide("host"),
        wide("metadata"),
    ]);
    for row in progress {
        let reader = |part: fn(&GroupMember) -> &str| row.reader.map(part).into();
        listing.push(vec![
            row.place.topic.clone().into(),
            row.place.partition.into(),
            row.committed.map(|committed| committed.offset).into(),
            row.end.into(),
            row.lag().into(),
            reader(|member| &member.member_id),
            reader(|member| &member.client_id),
            reader(|member| &member.host),
            row.committed.map(|committed| committed.metadata.as_str()).filter(|text| !text.is_empty()).into(),
        ]);
    }
    listing
}

fn to_json(group: &GroupDescription, progress: &[Progress<'_>]) -> Value {
    let place = |place: &TopicPartition| json!({ "topic": place.topic, "partition": place.partition });
    let member = |member: &GroupMember| {
        json!({
            "member": member.member_id,
            "instance": member.instance_id,
            "client": member.client_id,
            "host": member.host,
            "epoch": member.epoch,
            "assigned": member.assigned.iter().map(place).collect::<Vec<_>>(),
        })
    };
    json!({
        "group": group.group,
        "state": group.state,
        "type": group.kind,
        "protocol": group.protocol_type,
        "assignor": group.assignor,
        "epoch": group.epoch,
        "coordinator": { "id": group.coordinator.id, "address": group.coordinator.address.to_string() },
        "lag": total_lag(progress),
        "members": group.members.iter().map(member).collect::<Vec<_>>(),
        "partitions": partitions(progress).to_json(),
    })
}
