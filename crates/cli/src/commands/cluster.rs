//! `frazil cluster`: its brokers, zones and features.

use crate::args::ClusterArgs;
use crate::client::ClusterDescription;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Listing, column, counted, print_facts, screen_columns};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// What to do with the cluster.
#[derive(Debug, clap::Subcommand)]
pub enum ClusterVerb {
    /// Show the cluster's id, brokers, zones and features
    #[command(after_help = EXAMPLES)]
    Describe(DescribeArgs),
}

const EXAMPLES: &str = "\
Examples:
  frazil cluster describe
  frazil cluster describe -b broker-1:9092 -o json | jq -r '.brokers[].address'";

/// Arguments of `frazil cluster describe`.
#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    /// How to print; csv and jsonl hold the brokers only
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs one of the verbs.
pub async fn run(verb: ClusterVerb) -> Outcome {
    let ClusterVerb::Describe(args) = verb;
    let cluster = args.cluster.client().describe_cluster().await?;
    let mut out = io::stdout().lock();
    match args.output {
        Format::Table | Format::Wide => {
            print_facts(&facts(&cluster), &mut out)?;
            for listing in [brokers(&cluster), features(&cluster)].iter().filter(|listing| !listing.is_empty()) {
                writeln!(out)?;
                listing.print_within(args.output, screen_columns(), &mut out)?;
            }
        }
        Format::Csv | Format::Jsonl => brokers(&cluster).print(args.output, &mut out)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &to_json(&cluster)).map_err(Failure::new)?;
            writeln!(out)?;
        }
    }
    Ok(Exit::Ok)
}

/// Brokers by zone; those without zone under none.
fn zones(cluster: &ClusterDescription) -> BTreeMap<Option<&str>, Vec<i32>> {
    let mut zones: BTreeMap<Option<&str>, Vec<i32>> = BTreeMap::new();
    for broker in &cluster.brokers {
        zones.entry(broker.rack.as_deref()).or_default().push(broker.id);
    }
    zones
}

fn facts(cluster: &ClusterDescription) -> Vec<(&'static str, String)> {
    let controller = match cluster.controller {
        ..0 => "none".to_string(),
        id => id.to_string(),
    };
    let zone = |(zone, brokers): (Option<&str>, Vec<i32>)| {
        format!("{} ({})", zone.unwrap_or("none"), counted(brokers.len(), "broker"))
    };
    let zones = zones(cluster).into_iter().map(zone).collect::<Vec<_>>().join(", ");
    vec![("cluster", cluster.id.clone()), ("controller", controller), ("zones", zones)]
}

fn brokers(cluster: &ClusterDescription) -> Listing {
    let mut listing = Listing::new(&[column("broker"), column("address"), column("zone"), column("controller")]);
    for broker in &cluster.brokers {
        listing.push(vec![
            broker.id.into(),
            broker.address.to_string().into(),
            broker.rack.clone().into(),
            if broker.id == cluster.controller { "yes" } else { "no" }.into(),
        ]);
    }
    listing
}

fn features(cluster: &ClusterDescription) -> Listing {
    let mut listing = Listing::new(&[column("feature"), column("level"), column("supported")]);
    for feature in &cluster.features {
        let supported = feature.supported.map(|(least, most)| format!("{least} to {most}"));
        listing.push(vec![feature.name.clone().into(), feature.level.into(), supported.into()]);
    }
    listing
}

fn to_json(cluster: &ClusterDescription) -> Value {
    let feature = |feature: &crate::client::Feature| {
        let (least, most) = feature.supported.unzip();
        json!({ "feature": feature.name, "level": feature.level, "supported_min": least, "supported_max": most })
    };
    json!({
        "cluster": cluster.id,
        "controller": cluster.controller,
        "brokers": brokers(cluster).to_json(),
        "features": cluster.features.iter().map(feature).collect::<Vec<_>>(),
    })
}
