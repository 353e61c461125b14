//! The machine under test, in virtual time and without I/O: one trait for both faces, scripted packets, owned events.
//!
//! A script is a function that is generic over [`Face`]; [`every_storage!`] makes a test of it for each storage and for
//! each way to move bytes in and out.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test uses a part of it"
)]

pub(crate) mod assumed;
pub(crate) mod authentication;
mod bed;
pub(crate) mod chaos;
pub(crate) mod contract;
mod disk;
mod face;
pub(crate) mod hostile;
pub(crate) mod packets;
mod restarts;
pub(crate) mod server;
pub(crate) mod sessions;
pub(crate) mod store;
mod told;
pub(crate) mod transcript;
pub(crate) mod window;
pub(crate) mod wire;

pub(crate) use bed::{Bed, LIMITS, PACKET_LIMIT, Timer, WINDOW, millis, secs};
#[cfg(feature = "alloc")]
pub(crate) use face::{Borrowing, Lending};
pub(crate) use face::{Face, Small, bytes, parse};
pub(crate) use told::{End, Told};

/// Makes a test of each of these generic functions for every storage.
macro_rules! every_storage {
    ($($name:ident),* $(,)?) => {
        #[cfg(feature = "alloc")]
        mod borrowing {
            $(#[test]
            fn $name() {
                super::$name::<super::machine::Borrowing>();
            })*
        }

        #[cfg(feature = "alloc")]
        mod lending {
            $(#[test]
            fn $name() {
                super::$name::<super::machine::Lending>();
            })*
        }

        mod fixed {
            $(#[test]
            fn $name() {
                super::$name::<super::machine::Small>();
            })*
        }
    };
}
pub(crate) use every_storage;
