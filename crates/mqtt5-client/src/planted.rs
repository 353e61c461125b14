//! Deliberate faults of this crate; see the module of the same name of `mqtt5-proto`.

/// Whether this fault is planted in this thread.
#[cfg(mqtt5_planted)]
macro_rules! planted {
    ($fault:ident) => {
        $crate::planted::is($crate::planted::Fault::$fault)
    };
}

/// No fault is ever planted.
#[cfg(not(mqtt5_planted))]
macro_rules! planted {
    ($fault:ident) => {
        false
    };
}

pub(crate) use planted;

#[cfg(mqtt5_planted)]
mqtt5_proto::faults! {
    /// `sport/#` does not match `sport` (4.7.1.2).
    MissParentLevel,
}
