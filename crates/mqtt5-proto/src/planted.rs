//! Deliberate faults, each of which the tests must find. A fault stands where a mistake would stand:
//! `if planted!(DropPubrel) { … }`. Only with `--cfg mqtt5_planted` there are any; otherwise `planted!` is `false`.

/// Whether this fault is planted in this thread.
#[cfg(all(mqtt5_planted, feature = "std"))]
macro_rules! planted {
    ($fault:ident) => {
        $crate::planted::is($crate::planted::Fault::$fault)
    };
}

/// No fault is ever planted.
#[cfg(not(all(mqtt5_planted, feature = "std")))]
macro_rules! planted {
    ($fault:ident) => {
        false
    };
}

pub(crate) use planted;

/// Makes the faults of a crate: `Fault`, `plant` and `is`.
#[cfg(all(mqtt5_planted, feature = "std"))]
#[macro_export]
macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident,)*) => {
        /// A deliberate fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault {
            $($(#[$doc])* $fault,)*
        }

        impl Fault {
            /// All faults of this crate.
            pub const ALL: &'static [Self] = &[$(Self::$fault,)*];

            /// How it is called.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$fault => stringify!($fault),)*
                }
            }

            /// The fault of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|fault| fault.name() == name)
            }
        }

        ::std::thread_local! {
            static PLANTED: ::core::cell::Cell<Option<Fault>> = const { ::core::cell::Cell::new(None) };
        }

        /// From now on this fault is planted in this thread, and no other of this crate; `None` is how every thread begins.
        pub fn plant(fault: Option<Fault>) {
            PLANTED.set(fault);
        }

        /// Whether this fault is planted in this thread.
        pub fn is(fault: Fault) -> bool {
            PLANTED.get() == Some(fault)
        }
    };
}

#[cfg(all(mqtt5_planted, feature = "std"))]
faults! {
    /// PUBREL is not sent again on the next connection [MQTT-4.4.0-1].
    DropPubrel,
    /// The identifier of a QoS 2 exchange is free from PUBREC on, not from PUBCOMP on [MQTT-2.2.1-3].
    ReusePacketId,
    /// A QoS 1 message of DUP 0 under the identifier of one that was not acknowledged on an earlier connection is taken for
    /// its redelivery.
    SwallowReusedId,
    /// The identifiers of a session that was assumed are used without asking whether the server holds something under them.
    AssumeClear,
    /// PUBLISH is sent again with DUP 0 [MQTT-3.3.1-1].
    ResendWithoutDup,
    /// A PUBLISH that had to wait leaves for the first time with DUP 1.
    DupOnNew,
    /// The oldest PUBLISH is sent again behind the others [MQTT-4.6.0-1].
    ResendOutOfOrder,
    /// More PUBLISHes are in flight than the server's Receive Maximum [MQTT-3.3.4-7].
    IgnoreReceiveMaximum,
    /// More Topic Aliases are used than the server knows (3.2.2.3.8).
    IgnoreAliasMaximum,
    /// PUBACK and PUBREC leave in the order in which the application acknowledges [MQTT-4.6.0-2], [MQTT-4.6.0-3].
    AckOutOfOrder,
    /// That PUBREC was sent is forgotten with the connection: the message is handed over twice.
    RepeatQos2,
    /// Exchanges go on although the server has no session [MQTT-3.2.2-5].
    KeepSessionState,
    /// What was never encoded is lost together with the session.
    LoseQueuedAtLoss,
    /// No PINGREQ is sent, and its answer not missed [MQTT-3.1.2-20].
    ForgetPingreq,
    /// A server that does not answer PINGREQ is waited for ten times as long.
    LatePingresp,
    /// A refusal in PUBREC gives the quota of its PUBLISH not back (4.9).
    QuotaLeak,
    /// A QoS 2 publish is told as delivered at PUBREC, not at PUBCOMP (4.3.3).
    CompleteAtPubrec,
    /// PUBACK ends the oldest exchange, whatever its identifier.
    AnswerOldest,
    /// QoS 2 messages are published again when the session is lost, though that is not wanted.
    RepublishUnasked,
    /// A QoS 0 message leaves before those that wait.
    OvertakeWithQos0,
    /// DISCONNECT is answered with DISCONNECT (3.14.4).
    AnswerDisconnect,
    /// PUBREL says that it does not know the identifier, though it does (3.6.2.1).
    DenyPubrec,
    /// PUBRELs are sent again in the order of the PUBLISHes, not in that of the PUBRECs [MQTT-4.6.0-4].
    PubrecOrder,
}
