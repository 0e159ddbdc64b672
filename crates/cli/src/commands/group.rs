//! `frazil group`: groups of consumers, what they have read, and where they go on.

mod describe;
mod reset;

use super::tally::Tally;
use crate::args::ClusterArgs;
use crate::client::{Client, ClientError};
use crate::exit::{Exit, Outcome};
use crate::output::{Format, Listing, column, wide};
use kafka_protocol::error::ResponseError;

/// What to do with groups.
#[derive(Debug, clap::Subcommand)]
pub enum GroupVerb {
    /// List groups
    #[command(visible_alias = "ls", after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Show a group's members, committed offsets and lag
    #[command(after_help = describe::EXAMPLES)]
    Describe(describe::DescribeArgs),
    /// Move a group's committed offsets; without --execute, only show where to
    #[command(after_help = reset::EXAMPLES)]
    Reset(reset::ResetArgs),
    /// Delete groups and their committed offsets
    #[command(visible_alias = "rm", after_help = DELETE_EXAMPLES)]
    Delete(DeleteArgs),
}

const LIST_EXAMPLES: &str = "\
Examples:
  frazil group list
  frazil group list --state Stable,PreparingRebalance
  frazil group list -o json | jq -r '.[].group'";

const DELETE_EXAMPLES: &str = "\
Examples:
  frazil group delete billing --dry-run
  frazil group delete billing shipping";

/// Arguments of `frazil group list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only groups in these states: Stable, Empty, PreparingRebalance, …
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Only groups of these protocols: classic, consumer, …
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    kind: Vec<String>,
    /// How to print
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Arguments of `frazil group delete`.
#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Names of the groups
    #[arg(required = true)]
    groups: Vec<String>,
    /// A group that does not exist is no failure
    #[arg(long)]
    if_exists: bool,
    /// Only check
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs one of the verbs.
pub async fn run(verb: GroupVerb) -> Outcome {
    match verb {
        GroupVerb::List(args) => list(args).await,
        GroupVerb::Describe(args) => describe::run(args).await,
        GroupVerb::Reset(args) => reset::run(args).await,
        GroupVerb::Delete(args) => delete(args).await,
    }
}

async fn list(args: ListArgs) -> Outcome {
    let client = args.cluster.client();
    let is_wanted = |wanted: &[String], value: &str| {
        wanted.is_empty() || wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let mut listing =
        Listing::new(&[column("group"), column("state"), column("type"), wide("protocol"), wide("coordinator")]);
    for group in super::found(client.groups().await?, "groups") {
        if is_wanted(&args.state, &group.state) && is_wanted(&args.kind, &group.kind) {
            let coordinator = group.coordinator;
            let texts = [group.group, group.state, group.kind, group.protocol_type];
            listing.push(texts.into_iter().map(Into::into).chain([coordinator.into()]).collect());
        }
    }
    listing.show(args.output)?;
    Ok(Exit::Ok)
}

async fn delete(args: DeleteArgs) -> Outcome {
    let client = args.cluster.client();
    let mut tally = Tally::of("group");
    for group in &args.groups {
        let deleted = match args.dry_run {
            true => deletable(&client, group).await,
            false => client.delete_group(group).await,
        };
        let is_missing = args.if_exists && deleted.as_ref().is_err_and(|e| e.is(ResponseError::GroupIdNotFound));
        let done = match (is_missing, args.dry_run) {
            (true, _) => "does not exist",
            (false, true) => "would be deleted",
            (false, false) => "deleted",
        };
        tally.add(if is_missing { Ok(()) } else { deleted }, group, done);
    }
    tally.outcome()
}

/// What the broker would say.
async fn deletable(client: &Client, group: &str) -> Result<(), ClientError> {
    let described = client.describe_group(group).await?;
    match described.is_active() {
        true => Err(ClientError::Refused {
            what: format!("group {group}"),
            error: ResponseError::NonEmptyGroup,
            message: Some(described.activity()),
        }),
        false => Ok(()),
    }
}
