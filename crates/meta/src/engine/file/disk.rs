//! What the journal asks of the file system, and how: a seam, so that tests can tear writes and fill the disk.

use frazil_base::AlignedBuffer;
use frazil_base::limits::BLOCK_BYTES;
use rustix::fs::OFlags;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Buffers that one call may write.
const SLICES_MAX: usize = 512;

/// The operations whose failure the journal must survive.
pub(crate) trait Disk: Send + Sync + fmt::Debug {
    /// Opens a chunk for writing, creates it if it does not exist, and cuts it to nothing if `truncate`.
    fn create(&self, path: &Path, truncate: bool) -> io::Result<File>;

    /// Writes all slices from `position` on; durable when answered.
    fn write(&self, file: &File, slices: &[&[u8]], position: u64) -> io::Result<()>;

    /// Cuts a file; durable when answered.
    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()>;
}

/// The real one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RealDisk {
    /// Write past the page cache, each write synced by itself; else through the page cache with a sync behind.
    pub direct: bool,
}

impl Disk for RealDisk {
    fn create(&self, path: &Path, truncate: bool) -> io::Result<File> {
        let flags = if self.direct { OFlags::DIRECT | OFlags::DSYNC } else { OFlags::empty() };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(truncate)
            .custom_flags(flags.bits() as i32)
            .open(path)?;
        sync_parent(path)?;
        Ok(file)
    }

    fn write(&self, file: &File, slices: &[&[u8]], mut position: u64) -> io::Result<()> {
        for some in slices.chunks(SLICES_MAX) {
            write_all(file, some, position)?;
            position += some.iter().map(|slice| slice.len() as u64).sum::<u64>();
        }
        if self.direct { Ok(()) } else { file.sync_data() }
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)?;
        file.sync_all()
    }
}

/// Writes slices, however short the single writes turn out.
fn write_all(file: &File, slices: &[&[u8]], position: u64) -> io::Result<()> {
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    let mut done = 0;
    while done < total {
        let rest: Vec<IoSlice<'_>> = rest_of(slices, done).map(IoSlice::new).collect();
        match rustix::io::pwritev(file, &rest, position + done as u64) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The slices without their first `skip` bytes.
fn rest_of<'a>(slices: &'a [&'a [u8]], mut skip: usize) -> impl Iterator<Item = &'a [u8]> {
    slices.iter().filter_map(move |slice| {
        let skipped = skip.min(slice.len());
        skip -= skipped;
        (skipped < slice.len()).then(|| &slice[skipped..])
    })
}

/// Makes the names in a file's directory durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(path.parent().expect("a chunk lies in a directory"))?.sync_all()
}

/// Opens a chunk for reading.
pub(crate) fn open_to_read(path: &Path, direct: bool) -> io::Result<File> {
    let flags = if direct { OFlags::DIRECT } else { OFlags::empty() };
    OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}

/// Reads whole blocks from `position` (a block boundary) on into `buffer`: `bytes` of them, or fewer at the end of file.
pub(crate) fn read_blocks(file: &File, buffer: &mut AlignedBuffer, position: u64, bytes: usize) -> io::Result<()> {
    let wanted = bytes.next_multiple_of(BLOCK_BYTES);
    buffer.set_len(wanted);
    let mut done = 0;
    // A read that ends inside a block met the end of the file; another one there would not be aligned.
    while done < wanted && done % BLOCK_BYTES == 0 {
        match file.read_at(&mut buffer.as_mut_slice()[done..], position + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.set_len(done);
    Ok(())
}

/// Whether the file system of `file`, opened with `O_DIRECT`, takes an aligned write.
pub(crate) fn takes_direct_writes(path: &Path, block: &AlignedBuffer) -> bool {
    let open = RealDisk { direct: true }.create(path, false);
    open.is_ok_and(|file| RealDisk { direct: true }.write(&file, &[block.as_slice()], 0).is_ok())
}
