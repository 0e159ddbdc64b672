//! `frazil completion`: a bash script that knows commands and flags, made from the parser itself.

use crate::args::CommandLine;
use crate::exit::{Exit, Outcome};
use clap::{Command, CommandFactory};
use std::io::{self, Write};

/// Prints the script.
pub fn run() -> Outcome {
    io::stdout().lock().write_all(script().as_bytes())?;
    Ok(Exit::Ok)
}

/// One case per command path: the words that may follow it.
fn script() -> String {
    let mut cases = String::new();
    add_cases("frazil", &CommandLine::command(), &mut cases);
    format!(
        "_frazil() {{\n  local path=frazil word words=\n  for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n    \
         case \"$word\" in -*) ;; *) path=\"$path $word\" ;; esac\n  done\n  while :; do\n    case \"$path\" in\n{cases}    \
         *' '*) path=\"${{path% *}}\"; continue ;;\n    esac\n    break\n  done\n  \
         COMPREPLY=($(compgen -W \"$words\" -- \"${{COMP_WORDS[COMP_CWORD]}}\"))\n}}\ncomplete -o default -F _frazil frazil\n"
    )
}

fn add_cases(path: &str, command: &Command, cases: &mut String) {
    let verbs = command.get_subcommands().map(|verb| verb.get_name().to_string());
    let flags = command.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?)));
    let words: Vec<String> = verbs.chain(flags).collect();
    cases.push_str(&format!("    '{path}') words='{}' ;;\n", words.join(" ")));
    for verb in command.get_subcommands() {
        add_cases(&format!("{path} {}", verb.get_name()), verb, cases);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_its_flags_are_in_the_script() {
        let script = script();
        assert!(script.contains("'frazil topic') words='create list describe alter delete"), "{script}");
        assert!(script.contains("'frazil group') words='list describe reset delete"), "{script}");
        assert!(script.contains("'frazil txn abort') words='--topic"), "{script}");
        assert!(script.contains("--kafka-num-partitions"), "{script}");
        assert!(script.ends_with("complete -o default -F _frazil frazil\n"));
    }
}
