//! Frames from a socket.
//!
//! Small frames pass through a buffer that an idle connection does not have; a large one is read straight into memory
//! of its own, which grows with the bytes that arrived, not with the length that was claimed.

use crate::budget::{Budget, Held};
use crate::connection::Peer;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use frazil_base::limits::CONTROL_FRAME_BYTES_MAX;
use frazil_wire::api;
use frazil_wire::frame::{self, FrameError};
use std::io;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::ReadHalf;
use tokio::time::timeout;

/// Frames up to this length are copied out of the buffer.
const SMALL_BYTES: usize = 16 << 10;
/// After a large frame another is likely: only its beginning goes through the buffer.
const PROBE_BYTES: usize = 512;
/// A large frame's memory starts with at most this much and doubles as it fills.
const FIRST_STEP_BYTES: usize = 1 << 20;

/// One request, with what it has taken from the budget.
#[derive(Debug)]
pub(crate) struct Frame {
    pub bytes: Bytes,
    pub held: Held,
}

/// Why no further frame can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameReadError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the connection ended within a frame")]
    Torn,
    #[error("the peer stopped within a frame")]
    Stalled,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a frame of {bytes} bytes; {most} are allowed for API {api_key}")]
    TooLarge { api_key: i16, bytes: usize, most: usize },
}

/// What bounds the frames of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadLimits {
    pub frame_bytes_max: usize,
    pub idle_timeout: Duration,
    pub stall_timeout: Duration,
}

/// The reading side of a connection.
pub(crate) struct FrameReader<'a> {
    stream: ReadHalf<'a>,
    budget: &'a Budget,
    limits: ReadLimits,
    peer: Peer,
    buffer: BytesMut,
    last_was_large: bool,
}

impl<'a> FrameReader<'a> {
    pub fn new(stream: ReadHalf<'a>, budget: &'a Budget, limits: ReadLimits, peer: Peer) -> FrameReader<'a> {
        FrameReader { stream, budget, limits, peer, buffer: BytesMut::new(), last_was_large: false }
    }

    /// Who sends the frames, where the system could tell.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The next frame, without its length; `None` when the peer closed the connection or stayed idle for too long.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameReadError> {
        if self.buffer.is_empty() && !self.wait_for_bytes().await? {
            return Ok(None);
        }
        self.fill_to(4).await?;
        let length = frame::frame_length(self.buffer[..4].try_into().expect("four bytes"))?;
        self.buffer.advance(4);
        self.check_length(length).await?;
        self.last_was_large = length > SMALL_BYTES;
        let frame = if self.last_was_large { self.large(length).await? } else { self.small(length).await? };
        Ok(Some(frame))
    }

    /// Resolves when the peer has closed the connection; never if it sends more instead.
    pub async fn closed(&mut self) {
        let mut byte = [0];
        match self.stream.peek(&mut byte).await {
            Ok(0) | Err(_) => (),
            Ok(_) => std::future::pending().await,
        }
    }

    /// Waits for the first bytes of a frame, without a buffer. `false`: there will be none.
    async fn wait_for_bytes(&mut self) -> Result<bool, FrameReadError> {
        loop {
            let room = if self.last_was_large { PROBE_BYTES } else { SMALL_BYTES };
            self.buffer.reserve(room);
            match self.stream.try_read_buf(&mut (&mut self.buffer).limit(room)) {
                Ok(bytes) => return Ok(bytes > 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.buffer = BytesMut::new(),
                Err(error) => return Err(error.into()),
            }
            match timeout(self.limits.idle_timeout, self.stream.readable()).await {
                Ok(ready) => ready?,
                Err(_) => return Ok(false),
            }
        }
    }

    /// Produce requests may be as long as any frame; others are known to be longer than they need.
    async fn check_length(&mut self, length: usize) -> Result<(), FrameReadError> {
        let mut most = self.limits.frame_bytes_max;
        let mut api_key = api::PRODUCE;
        if length > CONTROL_FRAME_BYTES_MAX {
            self.fill_to(2).await?;
            api_key = i16::from_be_bytes([self.buffer[0], self.buffer[1]]);
            most = if api_key == api::PRODUCE { most } else { most.min(CONTROL_FRAME_BYTES_MAX) };
        }
        if length > most { Err(FrameReadError::TooLarge { api_key, bytes: length, most }) } else { Ok(()) }
    }

    async fn small(&mut self, length: usize) -> Result<Frame, FrameReadError> {
        let mut held = Held::default();
        self.budget.take(&mut held, length).await;
        self.fill_to(length).await?;
        let bytes = Bytes::copy_from_slice(&self.buffer[..length]);
        self.buffer.advance(length);
        Ok(Frame { bytes, held })
    }

    async fn large(&mut self, length: usize) -> Result<Frame, FrameReadError> {
        let mut held = Held::default();
        let mut room = length.min(FIRST_STEP_BYTES);
        self.budget.take(&mut held, room).await;
        let mut bytes = BytesMut::with_capacity(room);
        let begun = self.buffer.len().min(length);
        bytes.put(self.buffer.split_to(begun));
        while bytes.len() < length {
            if bytes.len() == room {
                let step = room.min(length - room);
                self.budget.take(&mut held, step).await;
                bytes.reserve(step);
                room += step;
            }
            let missing = room - bytes.len();
            read_some(&mut self.stream, &mut bytes, missing, self.limits.stall_timeout).await?;
        }
        Ok(Frame { bytes: bytes.freeze(), held })
    }

    /// Reads until the buffer holds at least `length` bytes.
    async fn fill_to(&mut self, length: usize) -> Result<(), FrameReadError> {
        while self.buffer.len() < length {
            let missing = length - self.buffer.len();
            let room = if self.last_was_large { missing.max(PROBE_BYTES) } else { missing.max(SMALL_BYTES) };
            self.buffer.reserve(room);
            read_some(&mut self.stream, &mut self.buffer, room, self.limits.stall_timeout).await?;
        }
        Ok(())
    }
}

/// Reads at least one and at most `most` bytes.
async fn read_some(
    stream: &mut ReadHalf<'_>,
    bytes: &mut BytesMut,
    most: usize,
    stall_timeout: Duration,
) -> Result<(), FrameReadError> {
    match timeout(stall_timeout, stream.read_buf(&mut bytes.limit(most))).await {
        Ok(Ok(0)) => Err(FrameReadError::Torn),
        Ok(read) => Ok(read.map(|_| ())?),
        Err(_) => Err(FrameReadError::Stalled),
    }
}
