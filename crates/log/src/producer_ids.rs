//! Ids for idempotent producers, from blocks that the metadata log sets apart.

use crate::sequencer::{ProposeError, Sequencer};
use frazil_meta::record::Command;
use frazil_meta::state::Outcome;
use std::ops::Range;
use tokio::sync::Mutex;

/// Larger: fewer records; what is left of a block when the broker stops is never used.
const BLOCK: u32 = 1000;

/// The rest of the current block.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    block: Mutex<Range<i64>>,
}

impl ProducerIds {
    pub(crate) async fn next(&self, sequencer: &Sequencer) -> Result<i64, ProposeError> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            let command = Command::AllocateProducerIds { count: BLOCK };
            match sequencer.propose(command, None).settled().await?.outcome {
                Outcome::ProducerIds { first } => *block = first..first + i64::from(BLOCK),
                other => {
                    return Err(ProposeError::NotDone {
                        cause: format!("producer ids were answered with {other:?}").into(),
                    });
                }
            }
        }
        Ok(block.next().expect("the block is not empty"))
    }
}
