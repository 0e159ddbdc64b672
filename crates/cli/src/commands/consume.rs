//! `frazil consume` and `frazil tail`: records to stdout.

mod member;

use crate::args::ClusterArgs;
use crate::client::{Client, ClientError, Consumer, Isolation, PartitionOffsets};
use crate::consume::offsets::{Bound, OffsetRange};
use crate::consume::printer::Printer;
use crate::consume::template::Template;
use crate::exit::{Exit, Failure, Outcome};
use frazil_base::Env;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

const LONG_POLL: Duration = Duration::from_millis(500);

/// Shown after the help of `frazil consume`.
pub const EXAMPLES: &str = "\
OFFSET is newest, oldest, N, -N (before the end), @TIME, or a range of two such
as 10:20, :end, @-1h:@-15m. TIME is -15m, 2026-01-01T08:00, or with +02:00.
FORMAT knows %v %k %h (headers) %t %p %o %T %d (timestamp) %V %K (lengths) \\n \\t.

Examples:
  frazil consume orders -n 3 -f '%p %o %k=%v\\n'
  frazil consume orders -o @-15m -e -o json
  frazil consume orders -g billing      # as a member, until Ctrl-C
  frazil consume orders -g billing -e   # what the group has not read yet";

/// Shown after the help of `frazil tail`.
pub const TAIL_EXAMPLES: &str = "\
Examples:
  frazil tail orders
  frazil tail orders -o -10 -f '%d %v\\n'";

/// Arguments of `frazil consume` and `frazil tail`.
#[derive(Debug, clap::Args)]
pub struct ConsumeArgs {
    /// Topic to read
    topic: String,
    /// Where to start, or how to print; see below
    #[arg(short = 'o', value_name = "OFFSET|OUTPUT", allow_hyphen_values = true)]
    either: Vec<String>,
    /// Where to start, and stop [default: oldest; newest for tail]
    #[arg(long, allow_hyphen_values = true)]
    offset: Option<String>,
    /// How to print: value or json, one per line [default: value]
    #[arg(long)]
    output: Option<String>,
    /// Stop after so many records
    #[arg(short = 'n', long = "count", value_name = "RECORDS")]
    count: Option<u64>,
    /// How to print, as in kcat: '%k %v %o %p %t\n'
    #[arg(short = 'f', long, value_name = "FORMAT")]
    format: Option<String>,
    /// Partitions to read, separated by commas [default: all]
    #[arg(short, long, value_delimiter = ',')]
    partitions: Vec<i32>,
    /// Stop at the end of the topic instead of waiting for more
    #[arg(short = 'e', long)]
    exit_at_end: bool,
    /// Which records of transactions to read
    #[arg(long, value_enum, default_value_t)]
    isolation: Isolation,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    membership: member::MembershipArgs,
}

/// Reads and prints. Starts at `newest` when `tail`, else at `oldest`.
pub async fn run(args: ConsumeArgs, tail: bool) -> Outcome {
    let (range, printer) = choose(&args, tail)?;
    if args.count == Some(0) {
        return Ok(Exit::Ok);
    }
    let client = args.cluster.client().reading(args.isolation);
    if args.membership.group.is_some() {
        return member::run(client, args, range, printer).await;
    }
    let offsets = selected(&client, &args).await?;
    let plan = plan(&client, &args.topic, &offsets, range, args.exit_at_end).await?;
    let mut reading = Reading {
        printer,
        ends: plan.ends,
        left: args.count,
        consumer: Consumer::new(client, &args.topic, plan.starts),
        topic: args.topic,
        out: BufWriter::new(io::stdout()),
    };
    reading.leave_finished();
    while !reading.is_done() {
        reading.step().await?;
    }
    reading.out.flush()?;
    Ok(Exit::Ok)
}

/// `-o` takes an offset as in kcat, or an output as everywhere else in this program; they cannot be mixed up.
fn choose(args: &ConsumeArgs, tail: bool) -> Result<(OffsetRange, Printer), Failure> {
    let is_output = |text: &&String| ["value", "json", "jsonl"].contains(&text.as_str());
    let outputs: Vec<&String> = args.either.iter().filter(is_output).chain(&args.output).collect();
    let offsets: Vec<&String> = args.either.iter().filter(|text| !is_output(text)).chain(&args.offset).collect();
    if outputs.len() > 1 || offsets.len() > 1 {
        return Err(Failure::usage("-o gives the start twice, or the output twice"));
    }
    let default_start = if tail { "newest" } else { "oldest" };
    let start = offsets.first().map_or(default_start, |text| text.as_str());
    let range = OffsetRange::parse(start, Env::system().clock.now_ms()).ok_or_else(|| {
        Failure::usage(format!("{start:?} is neither a place to start nor an output"))
            .advising("write newest, oldest, 42, -10, 10:20, @-15m, @2026-01-01T08:00; or json, value")
    })?;
    let printer = match (&args.format, outputs.first().map(|text| text.as_str())) {
        (Some(_), Some(_)) => return Err(Failure::usage("--format and --output exclude each other")),
        (Some(format), None) => Printer::Template(Template::parse(format).map_err(Failure::usage)?),
        (None, Some("json" | "jsonl")) => Printer::Json,
        (None, None | Some("value")) => Printer::values().map_err(Failure::usage)?,
        (None, Some(other)) => return Err(Failure::usage(format!("output {other:?} is neither value nor json"))),
    };
    Ok((range, printer))
}

async fn selected(client: &Client, args: &ConsumeArgs) -> Result<BTreeMap<i32, PartitionOffsets>, Failure> {
    let mut offsets = client.offsets(&args.topic).await?;
    if let Some(missing) = args.partitions.iter().find(|partition| !offsets.contains_key(partition)) {
        return Err(Failure::usage(format!("topic {} has no partition {missing}", args.topic))
            .advising(format!("see its partitions with `frazil topic describe {}`", args.topic)));
    }
    if !args.partitions.is_empty() {
        offsets.retain(|partition, _| args.partitions.contains(partition));
    }
    Ok(offsets)
}

/// First offset to read and first offset not to read, by partition.
struct Plan {
    starts: BTreeMap<i32, i64>,
    ends: BTreeMap<i32, i64>,
}

async fn plan(
    client: &Client,
    topic: &str,
    offsets: &BTreeMap<i32, PartitionOffsets>,
    range: OffsetRange,
    exit_at_end: bool,
) -> Result<Plan, ClientError> {
    let starts = resolve(client, topic, offsets, range.start).await?;
    let clamped = starts.into_iter().map(|(partition, start)| (partition, start.max(offsets[&partition].start)));
    let ends = match range.end.or(exit_at_end.then_some(Bound::Newest)) {
        Some(end) => resolve(client, topic, offsets, end).await?,
        None => BTreeMap::new(),
    };
    // A range that is asked for ends today, also where a partition has not come so far yet.
    let ends = ends.into_iter().map(|(partition, end)| (partition, end.min(offsets[&partition].end)));
    Ok(Plan { starts: clamped.collect(), ends: ends.collect() })
}

async fn resolve(
    client: &Client,
    topic: &str,
    offsets: &BTreeMap<i32, PartitionOffsets>,
    bound: Bound,
) -> Result<BTreeMap<i32, i64>, ClientError> {
    let timed = match bound {
        Bound::Time(timestamp) => {
            let partitions: Vec<i32> = offsets.keys().copied().collect();
            client.offsets_at(topic, &partitions, timestamp).await?
        }
        _ => BTreeMap::new(),
    };
    let place = |(partition, known): (&i32, &PartitionOffsets)| {
        let offset = match bound {
            Bound::Oldest => known.start,
            Bound::Newest => known.end,
            Bound::Offset(offset) => offset,
            Bound::BeforeEnd(back) => (known.end - back).max(known.start),
            Bound::Time(_) => timed.get(partition).copied().filter(|offset| *offset >= 0).unwrap_or(known.end),
        };
        (*partition, offset)
    };
    Ok(offsets.iter().map(place).collect())
}

struct Reading {
    topic: String,
    consumer: Consumer,
    printer: Printer,
    ends: BTreeMap<i32, i64>,
    left: Option<u64>,
    out: BufWriter<io::Stdout>,
}

impl Reading {
    fn is_done(&self) -> bool {
        self.left == Some(0) || self.consumer.positions().is_empty()
    }

    async fn step(&mut self) -> Result<(), Failure> {
        for fetched in self.consumer.poll(LONG_POLL).await? {
            let end = self.ends.get(&fetched.partition).copied().unwrap_or(i64::MAX);
            for record in fetched.records.iter().filter(|record| record.offset < end) {
                if self.left == Some(0) {
                    break;
                }
                self.printer.print(&self.topic, record, &mut self.out)?;
                self.left = self.left.map(|left| left - 1);
            }
        }
        self.leave_finished();
        self.out.flush()?;
        Ok(())
    }

    fn leave_finished(&mut self) {
        let positions = self.consumer.positions();
        let is_finished = |partition: &i32, position: i64| self.ends.get(partition).is_some_and(|end| position >= *end);
        let finished: Vec<i32> = positions
            .iter()
            .filter(|(partition, at)| is_finished(partition, **at))
            .map(|(partition, _)| *partition)
            .collect();
        finished.into_iter().for_each(|partition| self.consumer.leave(partition));
    }
}
