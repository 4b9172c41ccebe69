//! Where the bytes of a snapshot are read from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

/// One blob of a snapshot: bytes that can be read from any place. Implemented for bytes in memory
/// and for files; whoever keeps blobs elsewhere, or as a part of a larger file, implements it.
///
/// ```
/// use flott_state::StateBlob;
///
/// let blob: Box<dyn StateBlob> = Box::new(b"some state".to_vec());
/// let mut five = [0; 5];
/// blob.read(5, &mut five).unwrap();
/// assert_eq!((&five, blob.len()), (b"state", 10));
/// ```
#[expect(
    clippy::len_without_is_empty,
    reason = "nobody asks whether a blob is empty"
)]
pub trait StateBlob: Send + Sync {
    /// How many bytes it has.
    fn len(&self) -> u64;

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When they cannot be read, or there are fewer: [`io::ErrorKind::UnexpectedEof`].
    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// What messages call it: the name of its file, say.
    fn name(&self) -> String {
        "a snapshot in memory".to_owned()
    }
}

fn read_bytes(bytes: &[u8], offset: u64, into: &mut [u8]) -> io::Result<()> {
    let part = usize::try_from(offset)
        .ok()
        .and_then(|offset| bytes.get(offset..)?.get(..into.len()));
    let part = part.ok_or(io::ErrorKind::UnexpectedEof)?;
    into.copy_from_slice(part);
    Ok(())
}

macro_rules! in_memory {
    ($($bytes:ty),*) => {$(
        impl StateBlob for $bytes {
            fn len(&self) -> u64 {
                <[u8]>::len(self) as u64
            }

            fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
                read_bytes(self, offset, into)
            }
        }
    )*};
}

in_memory!(Vec<u8>, Arc<[u8]>, Bytes);

/// As long as it was when it was opened, if that can be found out; else it is empty.
impl StateBlob for File {
    fn len(&self) -> u64 {
        self.metadata().map_or(0, |metadata| metadata.len())
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(into, offset)
    }

    fn name(&self) -> String {
        "a snapshot file".to_owned()
    }
}
