//! Which protocol a client speaks, told by the first bytes that it sends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What every client begins with that speaks HTTP/2, and no request of HTTP/1 can (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A connection whose first bytes were looked at; they are read from it once more.
#[derive(Debug)]
pub(super) struct Opened {
    stream: TcpStream,
    first: [u8; PREFACE.len()],
    /// How many of them there are.
    known: usize,
    /// How many of those were read once more.
    told: usize,
}

impl Opened {
    /// Reads until it is clear what the client speaks. It is HTTP/2 only when all of the preface is there, since
    /// nothing else would bound how long the rest may take.
    ///
    /// # Errors
    /// When the client is gone before that.
    pub(super) async fn read(mut stream: TcpStream) -> io::Result<(Protocol, Self)> {
        let mut first = [0; PREFACE.len()];
        let mut known = 0;
        loop {
            let read = stream.read(&mut first[known..]).await?;
            known += read;
            let protocol = protocol(&first[..known]);
            match protocol {
                Some(protocol) => return Ok((protocol, Self { stream, first, known, told: 0 })),
                None if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => {}
            }
        }
    }
}

/// What a client speaks that begins so; none when that is still open.
fn protocol(begun: &[u8]) -> Option<Protocol> {
    if !PREFACE.starts_with(begun) {
        return Some(Protocol::Http1);
    }
    (begun.len() == PREFACE.len()).then_some(Protocol::Http2)
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.told == self.known {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let end = self.known.min(self.told.saturating_add(buffer.remaining()));
        buffer.put_slice(&self.first[self.told..end]);
        self.told = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_protocol_is_known_as_soon_as_it_can_be_no_other() {
        let table: [(&[u8], Option<Protocol>); 8] = [
            (b"", None),
            (b"P", None),
            (b"PO", Some(Protocol::Http1)),
            (b"GET / HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"\r\nGET", Some(Protocol::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (b"PRI * HTTP/2.0\r\n\r\nSN", Some(Protocol::Http1)),
            (PREFACE, Some(Protocol::Http2)),
        ];
        for (begun, expected) in table {
            assert_eq!(protocol(begun), expected, "{}", begun.escape_ascii());
        }
    }

    #[tokio::test]
    async fn what_was_looked_at_is_read_once_more_however_it_came() {
        for pieces in [
            &["P", "OST / ", "HTTP/1.1\r\n\r\n"][..],
            &["PRI * HTTP", "/2.0\r\n\r\nSM\r\n\r\nand more"],
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (served, _) = listener.accept().await.unwrap();
            let sending = async {
                for piece in pieces {
                    client.write_all(piece.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
                client.shutdown().await.unwrap();
            };
            let reading = async {
                let (_, mut opened) = Opened::read(served).await.unwrap();
                let mut text = String::new();
                opened.read_to_string(&mut text).await.unwrap();
                text
            };
            let (text, ()) = tokio::join!(reading, sending);
            assert_eq!(text, pieces.concat());
        }
    }
}
