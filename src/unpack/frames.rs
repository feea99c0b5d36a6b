//! The stream to the unpacking process: frames of bytes, each after its length. An empty frame ends a layer, and is sent
//! when all of the layer was verified; a stream that ends without one has failed.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The longest frame in bytes: that of 1000 layers' tasks is a fifth of it.
const LONGEST: u32 = 1 << 20;

/// The writing end.
pub struct Sender<W: Write> {
    out: W,
    closed: bool,
}

impl<W: Write> Sender<W> {
    /// Begins to send.
    pub fn to(out: W) -> Sender<W> {
        Sender { out, closed: false }
    }

    /// Returns true if the other end reads no more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Sends bytes, in as many frames as they need; none for no bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(LONGEST as usize).try_for_each(|chunk| self.frame(chunk))
    }

    /// Ends a layer.
    pub fn end(&mut self) -> io::Result<()> {
        self.frame(&[])
    }

    fn frame(&mut self, chunk: &[u8]) -> io::Result<()> {
        let length = u32::try_from(chunk.len()).map_err(|_| ErrorKind::InvalidInput)?;
        let sent = self.out.write_all(&length.to_le_bytes()).and_then(|()| self.out.write_all(chunk));
        self.closed |= sent.is_err();
        sent
    }
}

/// The reading end, which the layers share: each reads to the end of its own.
pub struct Receiver<R: Read> {
    input: Arc<Mutex<R>>,
    /// Bytes that are left of the frame.
    left: u32,
    ended: bool,
}

impl<R: Read> Receiver<R> {
    /// Begins to read a layer.
    pub fn of(input: &Arc<Mutex<R>>) -> Receiver<R> {
        Receiver { input: Arc::clone(input), left: 0, ended: false }
    }

    fn exactly(&self, buffer: &mut [u8]) -> io::Result<()> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner).read_exact(buffer)
    }
}

impl<R: Read> Read for Receiver<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.ended {
            let mut length = [0; 4];
            self.exactly(&mut length)?;
            self.left = u32::from_le_bytes(length);
            self.ended = self.left == 0;
            if self.left > LONGEST {
                return Err(io::Error::new(ErrorKind::InvalidData, "a frame of the layer is too long"));
            }
        }
        let length = buffer.len().min(self.left as usize);
        self.exactly(&mut buffer[..length])?;
        self.left -= u32::try_from(length).map_err(|_| ErrorKind::InvalidInput)?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(input: &Arc<Mutex<io::Cursor<Vec<u8>>>>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Receiver::of(input).read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn each_layer_ends_where_it_was_ended_and_one_that_was_not_is_an_error() {
        let mut sender = Sender::to(Vec::new());
        let long = vec![7; 3 << 20];
        sender.bytes(&long).unwrap();
        sender.end().unwrap();
        sender.end().unwrap();
        sender.bytes(b"cut").unwrap();
        let input = Arc::new(Mutex::new(io::Cursor::new(sender.out)));
        assert_eq!(received(&input).unwrap(), long);
        assert_eq!(received(&input).unwrap(), b"");
        assert_eq!(received(&input).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        let too_long = Arc::new(Mutex::new(io::Cursor::new(vec![0xff; 8])));
        assert_eq!(received(&too_long).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
