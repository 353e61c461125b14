//! Bytes on the wire: the only place that reads and writes the data types of section 1.5.

mod reader;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use writer::{Writer, binary_len, utf8_len, varint_len};
