//! `frazil storage`: looks into a store and proves it, with or without a running broker.

use crate::args::SettingsArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Listing, column, screen_columns};
use crate::settings::units::round_bytes;
use crate::settings::{ConfigErrors, StoreUrl, resolve, store_url_of};
use crate::storage::{Vault, VaultError, inspect, verify};
use bytes::Bytes;
use frazil_store::Key;
use std::io::{self, Write};
use std::path::Path;

/// What to do with a store.
#[derive(Debug, clap::Subcommand)]
pub enum StorageVerb {
    /// Explain an object or a file: segment, log entry, chunk, snapshot
    Inspect(InspectArgs),
    /// Prove the store against its metadata: nothing missing, all whole
    Verify(VerifyArgs),
}

/// Arguments of `frazil storage inspect`.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// Key of an object (snap/…, log/…, wal/…), or path of a file
    object: String,
    /// How to print: table (a sentence and the outline) or json (everything)
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Format,
    /// Where the store is.
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Arguments of `frazil storage verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// URL or directory [default: the setting store.url, else ./frazil-data]
    store: Option<String>,
    /// How to print what was found
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Format,
    /// Where the store is.
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Runs one of the verbs.
pub async fn run(verb: StorageVerb) -> Outcome {
    match verb {
        StorageVerb::Inspect(args) => inspect(args).await,
        StorageVerb::Verify(args) => verify(args).await,
    }
}

/// The store that the settings name, as `frazil dev` would.
fn configured(settings: &SettingsArgs, given: Option<&str>) -> Result<StoreUrl, ConfigErrors> {
    let mut sources = settings.sources(true);
    if let Some(given) = given {
        sources.flags.push(("store.url".to_string(), given.to_string()));
    }
    let mut resolved = resolve(&sources)?;
    resolved.set_default("store.url", super::dev::DEFAULT_DIRECTORY);
    store_url_of(&resolved)
}

fn failed(error: VaultError) -> Failure {
    let next = match &error {
        VaultError::NoDirectory(_) | VaultError::Open(_) => Some("name the store: --store-url URL".to_string()),
        VaultError::Store(_) | VaultError::Journal { .. } => None,
    };
    Failure { exit: Exit::Failure, error: error.into(), next }
}

async fn inspect(args: InspectArgs) -> Outcome {
    let bytes = read(&args).await?;
    let explanation = inspect::explain(&bytes);
    let mut out = io::stdout().lock();
    match args.output {
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &explanation.details).map_err(Failure::new)?;
            writeln!(out)?;
        }
        Format::Jsonl => writeln!(out, "{}", explanation.details)?,
        Format::Table | Format::Wide | Format::Csv => {
            writeln!(out, "{}", explanation.summary)?;
            if let Some(outline) = outline(&explanation.details) {
                writeln!(out)?;
                outline.print_within(args.output, screen_columns(), &mut out)?;
            }
        }
    }
    Ok(if explanation.is_whole { Exit::Ok } else { Exit::Failure })
}

async fn read(args: &InspectArgs) -> Result<Bytes, Failure> {
    let path = Path::new(&args.object);
    if path.is_file() {
        return std::fs::read(path).map(Bytes::from).map_err(Failure::from);
    }
    let Some(key) = Key::parse(&args.object) else {
        return Err(Failure::usage(format!("{} is neither a file nor an object's key", args.object)));
    };
    let url = configured(&args.settings, None)?;
    let vault = Vault::open(&url).await.map_err(failed)?;
    let bytes = vault.get(&key).await.map_err(failed)?;
    let missing = || Failure::new(anyhow::anyhow!("there is neither a file {key} nor such an object in {url}"));
    bytes.ok_or_else(|| missing().advising("see what is there with `frazil storage verify -o wide`"))
}

/// The rows of what the object consists of.
fn outline(details: &serde_json::Value) -> Option<Listing> {
    let (rows, names): (_, &[&'static str]) = match details["kind"].as_str()? {
        "segment" => (&details["parts"], &["topic_id", "partition", "position", "bytes", "records"]),
        "log-entry" => (&details["body"]["parts"], &["topic_id", "partition", "position", "bytes", "records"]),
        "chunk" => (&details["entries"], &["seq", "record", "record_whole", "body_whole"]),
        "snapshot" => (&details["topics"], &["name", "id"]),
        _ => return None,
    };
    let rows = rows.as_array()?;
    let columns: Vec<_> = names.iter().map(|name| column(name)).collect();
    let mut listing = Listing::new(&columns);
    rows.iter().for_each(|row| listing.push(names.iter().map(|name| row[*name].clone()).collect()));
    Some(listing)
}

async fn verify(args: VerifyArgs) -> Outcome {
    let url = configured(&args.settings, args.store.as_deref())?;
    let vault = Vault::open(&url).await.map_err(failed)?;
    let report = verify::verify(&vault).await.map_err(failed)?;
    let mut listing = Listing::new(&[column("finding"), column("object"), column("detail")]);
    for finding in &report.findings {
        let object = finding.object.clone();
        listing.push(vec![finding.severity.name().into(), object.into(), finding.detail.clone().into()]);
    }
    if !report.findings.is_empty() || !matches!(args.output, Format::Table | Format::Wide) {
        listing.show(args.output)?;
    }
    let verify::Report { topics, partitions, extents, bodies, records, applied, .. } = report;
    eprintln!(
        "{}: {topics} topics, {partitions} partitions, {records} records, {extents} extents in {bodies} segments, {} \
         of {} stored, metadata up to record {applied}",
        if report.is_proved() { "proved" } else { "NOT proved" },
        round_bytes(report.bytes),
        round_bytes(report.stored_bytes),
    );
    Ok(if report.is_proved() { Exit::Ok } else { Exit::Failure })
}
