//! DescribeUserScramCredentials (API 50, KIP-554): which users have a password of which kind, never the password.

use super::{Answer, Refused, Request, text};
use crate::node::Node;
use frazil_meta::record::ScramCredential;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};
use std::collections::BTreeMap;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DescribeUserScramCredentialsRequest = request.decode()?;
    let state = node.log.state();
    let held = state.scram_users();
    let results: Vec<_> = match wanted.users.filter(|users| !users.is_empty()) {
        None => held.iter().map(|(user, held)| described(user, held)).collect(),
        Some(users) => {
            let mut times_named = BTreeMap::<String, usize>::new();
            users.iter().for_each(|user| *times_named.entry(user.name.to_string()).or_default() += 1);
            times_named.iter().map(|(user, times)| answer(user, *times, held.get(user))).collect()
        }
    };
    let error_code = super::first_error(results.iter().map(|result| result.error_code));
    let response = DescribeUserScramCredentialsResponse::default().with_error_message(None).with_results(results);
    request.answer(&response, error_code)
}

fn answer(
    user: &str,
    times_named: usize,
    held: Option<&BTreeMap<u8, ScramCredential>>,
) -> DescribeUserScramCredentialsResult {
    let refused = |error: ResponseError, message: String| {
        DescribeUserScramCredentialsResult::default()
            .with_user(text(user))
            .with_error_code(error.code())
            .with_error_message(Some(text(message)))
    };
    match held {
        _ if times_named > 1 => refused(
            ResponseError::DuplicateResource,
            format!("Cannot describe SCRAM credentials for the same user twice in a single request: {user}"),
        ),
        None => refused(
            ResponseError::ResourceNotFound,
            format!("Attempt to describe a user credential that does not exist: {user}"),
        ),
        Some(held) => described(user, held),
    }
}

fn described(user: &str, held: &BTreeMap<u8, ScramCredential>) -> DescribeUserScramCredentialsResult {
    let info = |(mechanism, credential): (&u8, &ScramCredential)| {
        CredentialInfo::default().with_mechanism(*mechanism as i8).with_iterations(credential.iterations)
    };
    DescribeUserScramCredentialsResult::default()
        .with_user(text(user))
        .with_error_message(None)
        .with_credential_infos(held.iter().map(info).collect())
}
