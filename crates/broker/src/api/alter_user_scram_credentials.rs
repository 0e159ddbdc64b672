//! AlterUserScramCredentials (API 51, KIP-554): users and what proves their passwords. Stored; asked with security.
//!
//! The client sends the salted password; what is kept follows from it (RFC 5802) and does not give it back.

use super::create_topics::{Refusal, propose};
use super::{Answer, Refused, Request, text};
use crate::node::Node;
use crate::scram::{self, Mechanism};
use frazil_meta::record::Command;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse};
use std::collections::{BTreeMap, BTreeSet};

/// Rounds of hashing that are safe enough (RFC 7677), and so many that a log-in takes long.
const ITERATIONS: std::ops::RangeInclusive<i32> = 4096..=16_384;

/// What becomes of each user: all changes, or the reason why there is none.
type Plans = BTreeMap<String, Result<Vec<Command>, Refusal>>;

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: AlterUserScramCredentialsRequest = request.decode()?;
    let mut results = Vec::new();
    for (user, plan) in plans(node, &wanted) {
        let altered = match plan {
            Ok(commands) => alter(node, commands).await,
            Err(refusal) => Err(refusal),
        };
        let result = AlterUserScramCredentialsResult::default().with_user(text(user));
        results.push(match altered {
            Ok(()) => result.with_error_message(None),
            Err(refusal) => result.with_error_code(refusal.code.code()).with_error_message(Some(text(refusal.message))),
        });
    }
    let error_code = super::first_error(results.iter().map(|result| result.error_code));
    request.answer(&AlterUserScramCredentialsResponse::default().with_results(results), error_code)
}

fn plans(node: &Node, wanted: &AlterUserScramCredentialsRequest) -> Plans {
    let mut plans = Plans::new();
    let mut seen = BTreeSet::new();
    let deletions = wanted.deletions.iter().map(|one| (one.name.as_str(), one.mechanism, check_deletion(node, one)));
    let upsertions = wanted.upsertions.iter().map(|one| (one.name.as_str(), one.mechanism, check_upsertion(one)));
    for (user, mechanism, checked) in deletions.chain(upsertions) {
        let checked = match seen.insert((user, mechanism)) {
            true => checked,
            false => Err(Refusal::new(
                ResponseError::DuplicateResource,
                "A user credential cannot be altered twice in the same request",
            )),
        };
        let plan = plans.entry(user.to_owned()).or_insert_with(|| Ok(Vec::new()));
        match (checked, &mut *plan) {
            (Ok(command), Ok(commands)) => commands.push(command),
            (Err(refusal), Ok(_)) => *plan = Err(refusal),
            (_, Err(_)) => {}
        }
    }
    plans
}

async fn alter(node: &Node, commands: Vec<Command>) -> Result<(), Refusal> {
    for command in commands {
        propose(node, command).await?;
    }
    Ok(())
}

fn check_user(user: &str) -> Result<(), Refusal> {
    match user.is_empty() {
        true => Err(Refusal::new(ResponseError::UnacceptableCredential, "Username must not be empty")),
        false => Ok(()),
    }
}

fn mechanism(number: i8) -> Result<Mechanism, Refusal> {
    let unknown = || Refusal::new(ResponseError::UnsupportedSaslMechanism, "Unknown SCRAM mechanism");
    Mechanism::from_number(number).ok_or_else(unknown)
}

fn check_deletion(node: &Node, wanted: &ScramCredentialDeletion) -> Result<Command, Refusal> {
    check_user(&wanted.name)?;
    let mechanism = mechanism(wanted.mechanism)?.number();
    let state = node.log.state();
    let exists = state.scram_users().get(&*wanted.name).is_some_and(|held| held.contains_key(&mechanism));
    match exists {
        true => Ok(Command::AlterScramUser { user: wanted.name.to_string(), mechanism, credential: None }),
        false => Err(Refusal::new(
            ResponseError::ResourceNotFound,
            "Attempt to delete a user credential that does not exist",
        )),
    }
}

fn check_upsertion(wanted: &ScramCredentialUpsertion) -> Result<Command, Refusal> {
    let unacceptable = |why: &str| Err(Refusal::new(ResponseError::UnacceptableCredential, why));
    check_user(&wanted.name)?;
    let mechanism = mechanism(wanted.mechanism)?;
    if wanted.iterations < *ITERATIONS.start() {
        return unacceptable("Too few iterations");
    }
    if wanted.iterations > *ITERATIONS.end() {
        return unacceptable("Too many iterations");
    }
    if wanted.salt.is_empty() || wanted.salted_password.is_empty() {
        return unacceptable("Salt and salted password must not be empty");
    }
    let credential = scram::credential(mechanism, wanted.salt.clone(), &wanted.salted_password, wanted.iterations);
    let (user, mechanism) = (wanted.name.to_string(), mechanism.number());
    Ok(Command::AlterScramUser { user, mechanism, credential: Some(credential) })
}
