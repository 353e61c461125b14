//! Properties collected by builders whose setters cannot fail.

use core::fmt;
use core::time::Duration;
use mqtt5_proto::{EncodeError, Properties, Property, PropertyBuffer};

/// A property buffer that remembers the first property that may not be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PropertyList {
    buffer: PropertyBuffer,
    mistake: Option<EncodeError>,
}

impl PropertyList {
    pub(crate) fn push(&mut self, property: Property<'_>) {
        if let Err(mistake) = self.buffer.push(property) {
            self.mistake.get_or_insert(mistake);
        }
    }

    pub(crate) fn checked(&self) -> Result<Properties<'_>, EncodeError> {
        match self.mistake {
            None => Ok(self.buffer.as_properties()),
            Some(mistake) => Err(mistake),
        }
    }

    /// What was collected, mistakes left out.
    pub(crate) fn view(&self) -> Properties<'_> {
        self.buffer.as_properties()
    }
}

/// The User Properties of CONNECT. They may say who we are: `Debug` prints their names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct UserProperties(pub(crate) Vec<(String, String)>);

impl fmt::Debug for UserProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// A duration as a property says it: whole seconds, rounded up, at most `u32::MAX`.
pub(crate) fn seconds(duration: Duration) -> u32 {
    let seconds = duration
        .as_secs()
        .saturating_add(u64::from(duration.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
