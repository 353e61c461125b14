//! What is told to `tracing`.
//!
//! A subscriber of `tracing` is code of the application, so it is never called under the lock: the engine notes what there is to say, and
//! whoever unlocks it says it, before anybody is woken.

#[cfg(not(feature = "tracing"))]
mod silent;
#[cfg(feature = "tracing")]
mod told;

#[cfg(not(feature = "tracing"))]
pub(crate) use silent::Log;
#[cfg(feature = "tracing")]
pub(crate) use told::Log;
