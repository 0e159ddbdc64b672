//! `frazil config`: what is set, and where it comes from.

use crate::args::SettingsArgs;
use crate::exit::{Exit, Outcome};
use crate::output::{Format, Listing, column, screen_columns, whole, wide};
use crate::settings::{Origin, Resolved, Settings, resolve};
use std::io::{self, Write};

/// What to do with the configuration.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigVerb {
    /// Print all settings as a TOML file, or with their origin; no secrets
    Print(PrintArgs),
}

/// Arguments of `frazil config print`.
#[derive(Debug, clap::Args)]
pub struct PrintArgs {
    /// Show where each value comes from
    #[arg(long)]
    origin: bool,
    /// How to print the listing
    #[arg(short = 'o', long, value_enum)]
    output: Option<Format>,
    /// Use the defaults of `frazil dev`
    #[arg(long)]
    dev: bool,
    /// Where settings come from.
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Prints the configuration; what is wrong with it is told after it.
pub fn run(verb: ConfigVerb) -> Outcome {
    let ConfigVerb::Print(args) = verb;
    let mut resolved = resolve(&args.settings.sources(args.dev))?;
    if args.dev {
        resolved.set_default("store.url", "./frazil-data");
    }
    let mut out = io::stdout().lock();
    if args.origin || args.output.is_some() {
        listing(&resolved).print_within(args.output.unwrap_or_default(), screen_columns(), &mut out)?;
    } else {
        print_toml(&resolved, &mut out)?;
    }
    Settings::from_resolved(&resolved)?;
    Ok(Exit::Ok)
}

fn listing(resolved: &Resolved) -> Listing {
    let mut listing = Listing::new(&[whole("setting"), column("value"), column("origin"), wide("help")]);
    for (key, value) in resolved.all() {
        listing.push(vec![key.path.into(), value.shown().into(), value.origin.to_string().into(), key.help.into()]);
    }
    listing
}

/// A file that holds what is set; defaults stand in it as comments.
fn print_toml(resolved: &Resolved, out: &mut impl Write) -> io::Result<()> {
    let mut sections: Vec<&str> = Vec::new();
    resolved.all().for_each(|(key, _)| {
        if !sections.contains(&key.section()) {
            sections.push(key.section());
        }
    });
    for (index, section) in sections.iter().enumerate() {
        writeln!(out, "{}[{section}]", if index > 0 { "\n" } else { "" })?;
        for (key, value) in resolved.all().filter(|(key, _)| key.section() == *section) {
            let name = key.path.rsplit('.').next().unwrap_or(key.path);
            let text = toml::Value::String(value.shown().to_string());
            let comment = if value.origin == Origin::Default { "# " } else { "" };
            writeln!(out, "{comment}{name} = {text}")?;
        }
    }
    Ok(())
}
