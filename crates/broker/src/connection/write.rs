//! Answers to a socket: lists of slices, written without being joined.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::WriteHalf;
use tokio::time::timeout;

/// Slices per system call.
const SLICES_MAX: usize = 64;

/// Writes all slices in order; fails when the peer takes nothing for `stall_timeout`.
pub(crate) async fn write_slices(
    stream: &mut WriteHalf<'_>,
    mut slices: VecDeque<Bytes>,
    stall_timeout: Duration,
) -> io::Result<()> {
    slices.retain(|slice| !slice.is_empty());
    while !slices.is_empty() {
        let mut window = [IoSlice::new(&[]); SLICES_MAX];
        let count = slices.len().min(SLICES_MAX);
        for (place, slice) in window.iter_mut().zip(&slices) {
            *place = IoSlice::new(slice);
        }
        let written = match timeout(stall_timeout, stream.write_vectored(&window[..count])).await {
            Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        advance(&mut slices, written);
    }
    Ok(())
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
