//! Answers to a socket: lists of slices, written without being joined.

use crate::budget::Budget;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::WriteHalf;
use tokio::time::timeout;

/// Slices per system call.
const SLICES_MAX: usize = 64;

/// How long a peer may take nothing of an answer. A consumer that is busy with its records does not read for minutes,
/// and is let be as long as nobody waits for the memory that its answer holds.
pub(crate) struct Patience<'a> {
    pub while_others_wait: Duration,
    pub otherwise: Duration,
    pub budget: &'a Budget,
}

/// Writes all slices in order; fails when the patience with the peer ends.
pub(crate) async fn write_slices(
    stream: &mut WriteHalf<'_>,
    mut slices: VecDeque<Bytes>,
    patience: &Patience<'_>,
) -> io::Result<()> {
    slices.retain(|slice| !slice.is_empty());
    while !slices.is_empty() {
        let mut window = [IoSlice::new(&[]); SLICES_MAX];
        let count = slices.len().min(SLICES_MAX);
        for (place, slice) in window.iter_mut().zip(&slices) {
            *place = IoSlice::new(slice);
        }
        let written = write_some(stream, &window[..count], patience).await?;
        advance(&mut slices, written);
    }
    Ok(())
}

async fn write_some(stream: &mut WriteHalf<'_>, slices: &[IoSlice<'_>], patience: &Patience<'_>) -> io::Result<usize> {
    let step = patience.while_others_wait;
    let mut waited = Duration::ZERO;
    loop {
        match timeout(step, stream.write_vectored(slices)).await {
            Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => return written,
            Err(_) => waited += step,
        }
        if waited >= patience.otherwise || patience.budget.is_contended() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Takes `written` bytes off the front.
fn advance(slices: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(front) = slices.front_mut() {
        if written < front.len() {
            front.advance(written);
            return;
        }
        written -= front.len();
        slices.pop_front();
    }
}
