//! The data types of property values (2.2.2.2).

use crate::wire::{Reader, Writer, binary_len, utf8_len, varint_len};
use crate::{DecodeError, DecodeErrorKind, EncodeError};

/// How one data type stands on the wire.
pub(super) trait Kind {
    type Value<'a>: Copy;

    fn read<'a>(reader: &mut Reader<'a>, lenient: bool) -> Result<Self::Value<'a>, DecodeError>;
    fn len(value: Self::Value<'_>) -> usize;
    fn check(value: Self::Value<'_>) -> Result<(), EncodeError>;
    fn write(value: Self::Value<'_>, writer: &mut Writer<'_>);
}

macro_rules! kinds {
    ($($name:ident: $value:ty, $read:expr, $len:expr, $check:expr, $write:expr;)*) => {$(
        pub(super) struct $name;

        impl Kind for $name {
            type Value<'a> = $value;

            fn read<'a>(reader: &mut Reader<'a>, lenient: bool) -> Result<$value, DecodeError> {
                let read: fn(&mut Reader<'a>, bool) -> Result<$value, DecodeError> = $read;
                read(reader, lenient)
            }

            fn len(value: Self::Value<'_>) -> usize {
                $len(value)
            }

            fn check(value: Self::Value<'_>) -> Result<(), EncodeError> {
                $check(value)
            }

            fn write(value: Self::Value<'_>, writer: &mut Writer<'_>) {
                $write(writer, value);
            }
        }
    )*};
}

kinds! {
    Byte: u8, |reader, _| reader.u8(), |_| 1, any, |writer: &mut Writer<'_>, value| writer.u8(value);
    Bool: bool, read_bool, |_| 1, any, |writer: &mut Writer<'_>, value| writer.u8(u8::from(value));
    TwoByte: u16, |reader, _| reader.u16(), |_| 2, any, |writer: &mut Writer<'_>, value| writer.u16(value);
    FourByte: u32, |reader, _| reader.u32(), |_| 4, any, |writer: &mut Writer<'_>, value| writer.u32(value);
    Varint: u32, Reader::varint, |value| varint_len(value as usize), any, |writer: &mut Writer<'_>, value| writer.varint(value);
    Utf8: &'a str, |reader, _| reader.utf8(), |value: &str| value.len().saturating_add(2), |value| utf8_len(value).map(drop), |writer: &mut Writer<'_>, value| writer.utf8(value);
    Binary: &'a [u8], |reader, _| reader.binary(), |value: &[u8]| value.len().saturating_add(2), |value| binary_len(value).map(drop), |writer: &mut Writer<'_>, value| writer.binary(value);
}

/// Every number can be on the wire.
const fn any<T: Copy>(_: T) -> Result<(), EncodeError> {
    Ok(())
}

/// A byte that is 0 or 1; the identifier in the error is filled in by the caller.
fn read_bool(reader: &mut Reader<'_>, _: bool) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.error(DecodeErrorKind::InvalidPropertyValue(0))),
    }
}
