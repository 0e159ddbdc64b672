//! A row: a request, what it is about, and perhaps why Frazil's answer is different.

use frazil_broker::testing::Client;
use futures::future::BoxFuture;
use kafka_protocol::protocol::Request;
use std::fmt::Debug;
use std::sync::Arc;

/// Stands for an answer that did not come: the connection was closed.
pub const CLOSED: i16 = -100;

type Ask = Arc<dyn for<'a> Fn(&'a mut Client) -> BoxFuture<'a, Vec<i16>> + Send + Sync>;

/// One comparison.
pub struct Row {
    pub what: &'static str,
    /// Sends the request; gives every error code of the answer, in order.
    pub ask: Ask,
    /// Frazil's codes where they are different on purpose, and the reason.
    pub difference: Option<(Vec<i16>, &'static str)>,
}

/// A request that both answer alike.
pub fn row<R>(what: &'static str, version: i16, request: R) -> Row
where
    R: Request + Send + Sync + 'static,
    R::Response: Debug + Send,
{
    let request = Arc::new(request);
    let ask = asking(move |client| {
        let request = request.clone();
        Box::pin(async move {
            match client.call(version, request.as_ref()).await {
                Ok(response) => codes(&response),
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    panic!("an unreadable answer: {error}")
                }
                Err(_) => vec![CLOSED],
            }
        })
    });
    Row { what, ask, difference: None }
}

/// Questions of which each follows from the answer before; `ask` gives the error codes of the last.
pub fn asked(
    what: &'static str,
    ask: impl for<'a> Fn(&'a mut Client) -> BoxFuture<'a, Vec<i16>> + Send + Sync + 'static,
) -> Row {
    Row { what, ask: asking(ask), difference: None }
}

/// Tells the compiler that the future borrows what the closure is given.
fn asking(ask: impl for<'a> Fn(&'a mut Client) -> BoxFuture<'a, Vec<i16>> + Send + Sync + 'static) -> Ask {
    Arc::new(ask)
}

impl Row {
    /// Frazil answers with these codes instead.
    pub fn differs(mut self, codes: &[i16], reason: &'static str) -> Row {
        self.difference = Some((codes.to_vec(), reason));
        self
    }

    /// What is wrong with the answers; nothing if they are as the row says.
    pub fn judge(&self, frazil: &[i16], kafka: &[i16]) -> Option<String> {
        let Row { what, difference, .. } = self;
        match difference {
            None if frazil == kafka => None,
            None => Some(format!("{what}: Frazil {frazil:?}, Kafka {kafka:?}")),
            Some((_, reason)) if frazil == kafka => {
                Some(format!("{what}: both {kafka:?}; the difference is gone ({reason})"))
            }
            Some((expected, _)) if frazil == expected.as_slice() => None,
            Some((expected, _)) => Some(format!("{what}: Frazil {frazil:?} instead of {expected:?}; Kafka {kafka:?}")),
        }
    }
}

/// Every `error_code` in a response, in its order: read from the way it is printed, which is the same for all of them.
pub fn codes(response: &impl Debug) -> Vec<i16> {
    let printed = format!("{response:?}");
    let fields = printed.match_indices("error_code: ").map(|(at, name)| &printed[at + name.len()..]);
    let number = |rest: &str| {
        let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse::<i16>().expect("an error code is a number")
    };
    fields.map(number).collect()
}
