//! A bare server: reads produce requests, checks the batch's CRC, writes groups of batches with direct synced I/O into a
//! file that it fills again and again, and answers. No offsets, no metadata, nothing to read back.

use super::disk::{PIECE_BYTES, open_direct};
use anyhow::{Context as _, Result, ensure};
use frazil_base::buffer::AlignedBuffer;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

/// Pieces of the file that is filled again and again.
const FILE_PIECES: u64 = 128;
const BLOCK_BYTES: usize = 4096;
/// Synced writes under way.
const WRITERS: usize = 3;

/// Batches that go to the disk in one write, and whom to answer then.
struct Group {
    buffer: AlignedBuffer,
    waiting: Vec<mpsc::UnboundedSender<()>>,
}

impl Group {
    fn new() -> Group {
        Group { buffer: AlignedBuffer::with_capacity(PIECE_BYTES), waiting: Vec::new() }
    }
}

struct Shared {
    open: Mutex<Group>,
    filled: Condvar,
    emptied: Notify,
    file: File,
    next_piece: AtomicU64,
}

/// Serves at `address`, with its file in `folder`, until the process ends.
pub async fn serve(address: SocketAddr, folder: &Path) -> Result<()> {
    let file = open_direct(&folder.join("floor"))?;
    let mut zeros = AlignedBuffer::with_capacity(PIECE_BYTES);
    zeros.set_len(PIECE_BYTES);
    for piece in 0..FILE_PIECES {
        file.write_all_at(zeros.as_slice(), piece * PIECE_BYTES as u64)?;
    }
    let shared = Arc::new(Shared {
        open: Mutex::new(Group::new()),
        filled: Condvar::new(),
        emptied: Notify::new(),
        file,
        next_piece: AtomicU64::new(0),
    });
    for _ in 0..WRITERS {
        let shared = Arc::clone(&shared);
        thread::spawn(move || shared.write_groups());
    }
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that ends, ends; the load generator notices.
        tokio::spawn(connection(stream, Arc::clone(&shared)));
    }
}

impl Shared {
    fn write_groups(&self) {
        let mut spare = Group::new();
        loop {
            let mut open = self.open.lock().expect("no holder panics");
            while open.buffer.is_empty() {
                open = self.filled.wait(open).expect("no holder panics");
            }
            std::mem::swap(&mut *open, &mut spare);
            drop(open);
            self.emptied.notify_waiters();
            spare.buffer.pad_to(BLOCK_BYTES);
            let piece = self.next_piece.fetch_add(1, Ordering::Relaxed) % FILE_PIECES;
            self.file.write_all_at(spare.buffer.as_slice(), piece * PIECE_BYTES as u64).expect("the disk takes it");
            // A client that left cannot be answered.
            for waiting in spare.waiting.drain(..) {
                let _ = waiting.send(());
            }
            spare.buffer.clear();
        }
    }

    async fn add(&self, batch: &[u8], answer: &mpsc::UnboundedSender<()>) {
        loop {
            let emptied = self.emptied.notified();
            {
                let mut open = self.open.lock().expect("no holder panics");
                if open.buffer.remaining() >= batch.len() + BLOCK_BYTES {
                    open.buffer.extend_from_slice(batch);
                    open.waiting.push(answer.clone());
                    self.filled.notify_one();
                    return;
                }
            }
            emptied.await;
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let (answer, mut answers) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut ready = Vec::new();
        while answers.recv_many(&mut ready, 64).await > 0 {
            let frames = answer_frame().repeat(ready.len());
            ready.clear();
            if write.write_all(&frames).await.is_err() {
                return;
            }
        }
    });
    let mut read = BufReader::with_capacity(256 << 10, read);
    let mut frame = Vec::new();
    loop {
        let size = usize::try_from(read.read_i32().await?)?;
        ensure!(size <= PIECE_BYTES / 2, "a frame of {size} bytes");
        frame.resize(size, 0);
        read.read_exact(&mut frame).await?;
        shared.add(checked_batch(&frame)?, &answer).await;
    }
}

/// The batch in a produce request of `frazil-bench`, after its CRC was checked.
fn checked_batch(frame: &[u8]) -> Result<&[u8]> {
    let client_bytes = length_at(frame, 8)?;
    let topic_at = 10 + client_bytes + 2 + 2 + 4 + 4;
    let topic_bytes = length_at(frame, topic_at)?;
    let batch = frame.get(topic_at + 2 + topic_bytes + 4 + 4 + 4..).context("a frame without a batch")?;
    let stored: [u8; 4] = batch.get(17..21).and_then(|bytes| bytes.try_into().ok()).context("a batch without a CRC")?;
    let computed = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &batch[21..]) as u32;
    ensure!(u32::from_be_bytes(stored) == computed, "wrong CRC");
    Ok(batch)
}

fn length_at(frame: &[u8], at: usize) -> Result<usize> {
    let bytes: [u8; 2] = frame.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).context("a short frame")?;
    Ok(usize::from(u16::from_be_bytes(bytes)))
}

/// A produce answer of version 8: one topic without a name, one partition, no error.
fn answer_frame() -> Vec<u8> {
    let mut frame = Vec::new();
    for number in [52_i32, 1, 1] {
        frame.extend(number.to_be_bytes()); // size, correlation id, topics
    }
    frame.extend([0, 0]); // an empty name
    frame.extend(1_i32.to_be_bytes());
    frame.extend(0_i32.to_be_bytes());
    frame.extend([0, 0]); // no error
    for number in [0_i64, -1, 0] {
        frame.extend(number.to_be_bytes()); // base offset, append time, log start
    }
    frame.extend(0_i32.to_be_bytes()); // no record errors
    frame.extend((-1_i16).to_be_bytes()); // no message
    frame.extend(0_i32.to_be_bytes()); // no throttling
    let size = (frame.len() - 4) as i32;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame
}
