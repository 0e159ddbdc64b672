//! `frazil dev`: a whole Frazil on a laptop, with something alive in it to look at.

use super::server::{Stop, serve, start_failure};
use crate::args::SettingsArgs;
use crate::client::Client;
use crate::demo;
use crate::exit::{Failure, Outcome};
use crate::server::{ListenError, Server, StartError, Starting};
use crate::settings::{HostPort, Settings, resolve};
use frazil_base::Env;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where data lives unless something else is said.
pub const DEFAULT_DIRECTORY: &str = "./frazil-data";

/// Arguments of `frazil dev`.
#[derive(Debug, clap::Args)]
pub struct DevArgs {
    /// Directory for the data [default: ./frazil-data]
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "store.url")]
    pub data: Option<PathBuf>,
    /// Take free ports where the usual ones are taken
    #[arg(long)]
    pub any_port: bool,
    /// Fill the demo topic, also when there is data already
    #[arg(long, conflicts_with = "no_demo")]
    pub demo: bool,
    /// Do not fill the demo topic
    #[arg(long)]
    pub no_demo: bool,
    /// Where settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Runs everything in one process.
pub async fn run(args: DevArgs) -> Outcome {
    let mut sources = args.settings.sources(true);
    if let Some(directory) = &args.data {
        sources.flags.push(("store.url".to_string(), directory.display().to_string()));
    }
    let mut resolved = resolve(&sources)?;
    resolved.set_default("store.url", DEFAULT_DIRECTORY);
    let settings = Settings::from_resolved(&resolved)?;
    let place = match settings.store.directory() {
        Some(directory) => format!("{} (durable; delete to reset)", shown_path(&directory)),
        None if settings.store.is_memory() => "memory (gone when this process ends)".to_string(),
        None => settings.store.to_string(),
    };
    let stop = Stop::listen()?;
    let starting = Starting::bind(settings, args.any_port).await.map_err(dev_start_failure)?;
    serve(starting, stop, async |server| {
        let fills = !args.no_demo && (args.demo || server.is_new());
        if fills {
            start_demo(&server.advertised).await;
        }
        eprintln!("{}", banner(server, &place, fills));
    })
    .await
}

/// Makes the topic, so that it is there when the banner names it, and fills it in the background.
async fn start_demo(address: &HostPort) {
    let client = Client::new(vec![address.clone()], Duration::from_secs(30));
    if let Err(error) = demo::create_topic(&client).await {
        tracing::warn!(%error, "the demo topic cannot be made");
    }
    tokio::spawn(async move {
        if let Err(error) = demo::fill(client, Env::system()).await {
            tracing::warn!(%error, "the demo topic is not filled any more");
        }
    });
}

fn banner(server: &Server, place: &str, fills: bool) -> String {
    let kafka = format!("localhost:{}", server.kafka_addr.port());
    let console = format!("http://localhost:{}", server.http_addr.port());
    let bold = |text: &str| {
        if std::io::stderr().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() }
    };
    let rate = demo::RECORDS_PER_SECOND;
    let demo = match fills {
        true => format!("demo topic \"{}\" receives {rate} records a second", demo::TOPIC),
        false => format!("no demo (fill topic \"{}\" with --demo)", demo::TOPIC),
    };
    let flag = if server.kafka_addr.port() == 9092 { String::new() } else { format!(" -b {kafka}") };
    let example = match fills {
        true => format!("frazil tail {}{flag} -n 3", demo::TOPIC),
        false => format!("frazil topic list{flag}"),
    };
    format!(
        "  {}    {kafka}      {}  {console}      {}  {place}\n  {demo}      stop with Ctrl-C\n  try: {example}",
        bold("Kafka"),
        bold("Console"),
        bold("Data"),
    )
}

fn dev_start_failure(error: StartError) -> Failure {
    match error {
        StartError::Listen(ListenError::Taken { .. }) => {
            start_failure(error).advising("take free ports with `frazil dev --any-port`, or stop that process")
        }
        other => start_failure(other),
    }
}

/// The path as the user thinks of it: relative when it is below the working directory.
fn shown_path(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    match path.strip_prefix(&here) {
        Ok(relative) => format!("./{}", relative.display()),
        Err(_) => path.display().to_string(),
    }
}
