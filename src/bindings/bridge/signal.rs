//! A descriptor that becomes readable when somebody rings: an eventfd, or a pair of sockets where there is none.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};

/// The two ends of a bell that never block.
#[derive(Debug)]
pub struct Signal {
    hear: File,
    ring: File,
}

impl Signal {
    /// A bell that nobody has rung.
    pub fn new() -> io::Result<Self> {
        let (hear, ring) = descriptors()?;
        Ok(Self { hear, ring })
    }

    /// What to watch.
    pub fn descriptor(&self) -> RawFd {
        self.hear.as_raw_fd()
    }

    /// Makes the descriptor readable.
    pub fn ring(&self) {
        // It fails when it is full; then it is readable already.
        let _ = (&self.ring).write(&1_u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable again.
    pub fn clear(&self) {
        // It fails when nobody has rung.
        let _ = (&self.hear).read(&mut [0; 64]);
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn descriptors() -> io::Result<(File, File)> {
    use rustix::event::{EventfdFlags, eventfd};

    let hear = File::from(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let ring = hear.try_clone()?;
    Ok((hear, ring))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn descriptors() -> io::Result<(File, File)> {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    let (hear, ring) = UnixStream::pair()?;
    hear.set_nonblocking(true)?;
    ring.set_nonblocking(true)?;
    Ok((File::from(OwnedFd::from(hear)), File::from(OwnedFd::from(ring))))
}
