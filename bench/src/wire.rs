//! HTTP/1.1 with the least work: one message at a time over a kept connection.
//!
//! The generator shares the machine's cores with what it measures, so it spends as
//! little as possible. Bodies need a `content-length`; chunked ones are refused,
//! for neither side of a measurement sends any.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The longest head that is read.
const HEAD_BYTES: usize = 64 << 10;

/// A kept connection.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

/// A request or a response.
pub(crate) struct Message {
    head: Bytes,
    pub(crate) body: Bytes,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(16 << 10) })
    }

    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await;
        Self::new(stream.with_context(|| format!("cannot connect to {address}"))?)
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// The next message; none when the other side closed between two.
    pub(crate) async fn read(&mut self) -> Result<Option<Message>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if self.buffer.len() > HEAD_BYTES {
                bail!("a head of more than {HEAD_BYTES} bytes");
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                bail!("the connection broke off in a head");
            }
        };
        let head = self.buffer.split_to(end).freeze();
        let length = match header(&head, "content-length") {
            Some(length) => length.parse().context("`content-length` is no number")?,
            None if header(&head, "transfer-encoding").is_some() => bail!("a chunked body is not read here"),
            None => 0,
        };
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection broke off in a body");
            }
        }
        Ok(Some(Message { head, body: self.buffer.split_to(length).freeze() }))
    }
}

impl Message {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// A response's status.
    pub(crate) fn status(&self) -> Result<u16> {
        let status = self.head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        status.and_then(|digits| digits.parse().ok()).context("the answer has no status")
    }
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    lines
        .filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'))
        .find_map(|(have, value)| have.eq_ignore_ascii_case(name).then(|| value.trim()))
}
