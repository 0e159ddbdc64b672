//! Log lines on stderr: readable on a terminal, JSON elsewhere (for servers), as much as `FRAZIL_LOG` or `RUST_LOG` asks for.

use crate::args::Verb;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging for a command.
pub fn start(verb: &Verb) {
    let is_server = matches!(verb, Verb::Server(_));
    let default = if is_server { "info" } else { "warn" };
    let builder = tracing_subscriber::fmt().with_env_filter(filter(default)).with_writer(std::io::stderr);
    let is_terminal = std::io::stderr().is_terminal();
    let started = match is_server && !is_terminal {
        true => builder.json().flatten_event(true).try_init(),
        false => builder.compact().with_ansi(is_terminal).with_target(false).try_init(),
    };
    // A program that embeds this one may have a subscriber already; it stays.
    drop(started);
}

fn filter(default: &str) -> EnvFilter {
    let asked = ["FRAZIL_LOG", "RUST_LOG"].iter().find_map(|name| std::env::var(name).ok());
    let directives = asked.filter(|directives| !directives.is_empty()).unwrap_or_else(|| default.to_string());
    EnvFilter::try_new(&directives).unwrap_or_else(|error| {
        eprintln!("warning: log filter {directives:?} is not understood ({error}); using {default}");
        EnvFilter::new(default)
    })
}
