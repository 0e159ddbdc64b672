//! Sequential reading and synced writing of one file with direct I/O.

use anyhow::{Context as _, Result};
use frazil_base::buffer::AlignedBuffer;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// Bytes of one request to the disk.
pub const PIECE_BYTES: usize = 8 << 20;

/// Opens `path` for direct, synced I/O, made when missing.
pub fn open_direct(path: &Path) -> Result<File> {
    let flags = OFlags::DIRECT | OFlags::DSYNC;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).custom_flags(flags.bits() as i32);
    options.open(path).with_context(|| format!("opening {} for direct I/O", path.display()))
}

/// Writes a file of `pieces` pieces twice and measures the second time, when its blocks are there: MiB a second with
/// `writers` requests under way, each synced.
pub fn write(path: &Path, pieces: u64, writers: usize) -> Result<f64> {
    let file = open_direct(path)?;
    let mut buffer = AlignedBuffer::with_capacity(PIECE_BYTES);
    buffer.extend_from_slice(&vec![0xA5; PIECE_BYTES]);
    each_piece(pieces, 4, |at| Ok(file.write_all_at(buffer.as_slice(), at)?))?;
    each_piece(pieces, writers, |at| Ok(file.write_all_at(buffer.as_slice(), at)?))
}

/// Reads the file that [`write`] left: MiB a second with `readers` requests under way.
pub fn read(path: &Path, pieces: u64, readers: usize) -> Result<f64> {
    let file = open_direct(path)?;
    each_piece(pieces, readers, |at| {
        let mut buffer = AlignedBuffer::with_capacity(PIECE_BYTES);
        buffer.set_len(PIECE_BYTES);
        Ok(file.read_exact_at(buffer.as_mut_slice(), at)?)
    })
}

fn each_piece(pieces: u64, threads: usize, act: impl Fn(u64) -> Result<()> + Sync) -> Result<f64> {
    let next = AtomicU64::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= pieces {
                    return Ok(());
                }
                act(piece * PIECE_BYTES as u64)?;
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    let mib = (pieces * PIECE_BYTES as u64) as f64 / f64::from(1 << 20);
    Ok(mib / began.elapsed().as_secs_f64())
}
