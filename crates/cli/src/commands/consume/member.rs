//! `frazil consume -g`: reads as a member of a group, sharing the partitions with its other members.
//!
//! Offsets are committed after the records stand in the output: every few seconds, before partitions are given up, and
//! at the end. Whoever reads on sees each record at least once.

use super::{ConsumeArgs, LONG_POLL, resolve};
use crate::args::parse_duration;
use crate::client::{
    Client, ClientError, Consumer, Fetched, Interruption, Isolation, Member, MemberOptions, PartitionOffsets,
    TopicPartition,
};
use crate::commands::server::Stop;
use crate::consume::offsets::{Bound, OffsetRange};
use crate::consume::printer::Printer;
use crate::exit::{Exit, Failure, Outcome};
use crate::group::scope::shown_partitions;
use crate::output::counted;
use kafka_protocol::error::ResponseError;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write};
use std::time::Duration;
use tokio::time::{Instant, interval_at};

/// How long the others wait for us in a rebalance; we come at once, unless nobody takes our output.
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the leader looks for new partitions.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// How to be a member of a group.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Groups")]
pub struct MembershipArgs {
    /// Be a member: share the group's partitions, resume, commit
    #[arg(short = 'g', long, conflicts_with = "partitions")]
    pub group: Option<String>,
    /// A name of its own; who comes back in time keeps its partitions
    #[arg(long, value_name = "NAME", requires = "group")]
    instance_id: Option<String>,
    /// A member that is not heard of for so long is out
    #[arg(long, value_name = "TIME", default_value = "45s", value_parser = parse_duration)]
    session_timeout: Duration,
    /// How often to commit
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_interval)]
    commit_interval: Duration,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval < Duration::from_millis(1) { Err("at least 1ms".to_string()) } else { Ok(interval) }
}

/// What the end of a generation leads to.
enum Next {
    Join,
    End,
}

/// Joins, prints and commits until there is a reason to stop.
pub async fn run(client: Client, args: ConsumeArgs, range: OffsetRange, printer: Printer) -> Outcome {
    if range.end.is_some() {
        return Err(Failure::usage("a group reads on for ever, it has no end").advising("use -e or -n to stop"));
    }
    let mut stop = Stop::listen()?;
    client.partitions(&args.topic).await?;
    let mut reading = Reading::new(client, args, range.start, printer);
    let ended = reading.run(&mut stop).await;
    tokio::select! {
        biased;
        finished = reading.finish() => ended.and(finished).map(|()| Exit::Ok),
        // Whoever asks twice does not want to wait for the broker.
        _ = stop.requested() => ended.map(|()| Exit::Failure),
    }
}

struct Reading {
    client: Client,
    group: String,
    topic: String,
    start: Bound,
    commit_interval: Duration,
    exit_at_end: bool,
    printer: Printer,
    out: BufWriter<io::Stdout>,
    member: Member,
    consumer: Consumer,
    ends: BTreeMap<i32, i64>,
    left: Option<u64>,
    printed: u64,
    /// Next offsets of what stands in the output and is not committed yet.
    uncommitted: BTreeMap<TopicPartition, i64>,
}

impl Reading {
    fn new(client: Client, args: ConsumeArgs, start: Bound, printer: Printer) -> Reading {
        let MembershipArgs { group, instance_id, session_timeout, commit_interval } = args.membership;
        let group = group.unwrap_or_default();
        let options = MemberOptions {
            group: group.clone(),
            topics: vec![args.topic.clone()],
            instance_id,
            session_timeout,
            rebalance_timeout: REBALANCE_TIMEOUT,
        };
        Reading {
            member: Member::new(client.clone(), options),
            consumer: Consumer::new(client.clone(), &args.topic, BTreeMap::new()),
            client,
            group,
            topic: args.topic,
            start,
            commit_interval,
            exit_at_end: args.exit_at_end,
            printer,
            out: BufWriter::new(io::stdout()),
            ends: BTreeMap::new(),
            left: args.count,
            printed: 0,
            uncommitted: BTreeMap::new(),
        }
    }

    async fn run(&mut self, stop: &mut Stop) -> Result<(), Failure> {
        loop {
            let assigned = tokio::select! {
                biased;
                _ = stop.requested() => return Ok(()),
                assigned = self.member.join() => assigned?,
            };
            self.take_up(assigned).await?;
            if let Next::End = self.read(stop).await? {
                return Ok(());
            }
        }
    }

    /// Starts where the group stopped; a partition that it never read starts where the command line says.
    async fn take_up(&mut self, assigned: Vec<TopicPartition>) -> Result<(), Failure> {
        let assigned: BTreeSet<_> = assigned.into_iter().filter(|place| place.topic == self.topic).collect();
        let partitions = shown_partitions(assigned.iter().map(|place| place.partition));
        let shown =
            if assigned.is_empty() { "no partition".to_string() } else { format!("{}:{partitions}", self.topic) };
        eprintln!("group {}, generation {}: reading {shown}", self.group, self.member.generation());
        // Partitions may be newer than what is remembered.
        self.client.retrying(|| self.client.metadata(Some(std::slice::from_ref(&self.topic)), false)).await?;
        let ends = self.client.ranges(&assigned).await?.into_iter();
        self.ends = ends.map(|(place, range)| (place.partition, range.end)).collect();
        // The group may have got further, when it read what was not committed yet.
        let all = self.client.clone().reading(Isolation::ReadUncommitted).ranges(&assigned).await?.into_iter();
        let offsets: BTreeMap<i32, PartitionOffsets> = all.map(|(place, range)| (place.partition, range)).collect();
        let starts = self.starts(&assigned, &offsets).await?;
        self.consumer = Consumer::new(self.client.clone(), &self.topic, starts);
        self.uncommitted.clear();
        Ok(())
    }

    async fn starts(
        &self,
        assigned: &BTreeSet<TopicPartition>,
        offsets: &BTreeMap<i32, PartitionOffsets>,
    ) -> Result<BTreeMap<i32, i64>, ClientError> {
        if assigned.is_empty() {
            return Ok(BTreeMap::new());
        }
        let places: Vec<TopicPartition> = assigned.iter().cloned().collect();
        let committed = self.client.committed(&self.group, Some(&places), true).await?;
        let mut starts = resolve(&self.client, &self.topic, offsets, self.start).await?;
        for (place, committed) in committed {
            let Some(range) = offsets.get(&place.partition) else { continue };
            let start = committed.offset.clamp(range.start, range.end);
            if start != committed.offset {
                let lost = committed.offset;
                eprintln!("group {}: offset {lost} of {place} is not readable; going on at {start}", self.group);
            }
            starts.insert(place.partition, start);
        }
        Ok(starts)
    }

    /// Reads what this generation gives us.
    async fn read(&mut self, stop: &mut Stop) -> Result<Next, Failure> {
        let soon = |period: Duration| interval_at(Instant::now() + period, period);
        let (mut commits, mut looks) = (soon(self.commit_interval), soon(LOOK_INTERVAL));
        while !self.is_done() {
            let has_partitions = !self.consumer.positions().is_empty();
            tokio::select! {
                biased;
                _ = stop.requested() => return Ok(Next::End),
                interruption = self.member.interrupted() => return self.give_up(interruption).await,
                _ = commits.tick() => self.commit().await?,
                _ = looks.tick() => {
                    if self.member.is_out_of_date().await {
                        eprintln!("group {}: the topic's partitions changed", self.group);
                        return self.give_up(Interruption::Rebalance).await;
                    }
                }
                fetched = self.consumer.poll(LONG_POLL), if has_partitions => self.print(fetched?)?,
            }
        }
        Ok(Next::End)
    }

    fn is_done(&self) -> bool {
        let positions = self.consumer.positions();
        let is_read = |(partition, end): (&i32, &i64)| positions.get(partition).is_none_or(|at| at >= end);
        self.left == Some(0) || (self.exit_at_end && self.ends.iter().all(is_read))
    }

    fn print(&mut self, fetched: Vec<Fetched>) -> io::Result<()> {
        let mut next_offsets = BTreeMap::new();
        for partition in fetched {
            let mut next_offset = partition.next_offset;
            for record in &partition.records {
                if self.left == Some(0) {
                    next_offset = record.offset;
                    break;
                }
                self.printer.print(&self.topic, record, &mut self.out)?;
                self.left = self.left.map(|left| left - 1);
                self.printed += 1;
            }
            next_offsets.insert(TopicPartition::new(&self.topic, partition.partition), next_offset);
        }
        self.out.flush()?;
        self.uncommitted.extend(next_offsets);
        Ok(())
    }

    /// Commits while we still may, and says how to go on.
    async fn give_up(&mut self, interruption: Interruption) -> Result<Next, Failure> {
        match interruption {
            Interruption::Rebalance => self.commit().await?,
            Interruption::Lost => {
                let group = &self.group;
                eprintln!("group {group}: it went on without us; joining again, some records may be printed twice");
            }
            Interruption::Failed(error) => return Err(error.into()),
        }
        Ok(Next::Join)
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        if self.uncommitted.is_empty() {
            return Ok(());
        }
        match self.member.commit(&self.uncommitted).await {
            Ok(()) => self.uncommitted.clear(),
            // The group is making its next generation, or has made it: heartbeats lead there.
            Err(error) if is_of_old_generation(&error) => {
                tracing::debug!(%error, group = self.group, "not committed");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// What stands in the output is committed, also when reading failed.
    async fn finish(mut self) -> Result<(), Failure> {
        let committed = self.commit().await;
        if self.member.generation() < 0 && self.printed == 0 {
            self.member.leave().await;
            return committed;
        }
        let is_committed = committed.is_ok() && self.uncommitted.is_empty();
        let how = if is_committed { " and committed" } else { "; the last of them are not committed" };
        eprintln!("group {}: {} printed{how}", self.group, counted(self.printed as usize, "record"));
        self.member.leave().await;
        committed
    }
}

fn is_of_old_generation(error: &ClientError) -> bool {
    let refusals =
        [ResponseError::RebalanceInProgress, ResponseError::IllegalGeneration, ResponseError::UnknownMemberId];
    refusals.iter().any(|refusal| error.is(*refusal))
}
