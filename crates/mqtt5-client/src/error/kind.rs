//! The kinds of all errors, as tables.

use core::fmt;

mod sealed {
    pub trait Sealed {}
}

/// What the kinds of all operations have in common. Sealed: the kinds of this crate are all there are.
pub trait ErrorKind: sealed::Sealed + Copy + Eq + fmt::Debug + fmt::Display {
    /// Whether the same operation may succeed later without a change to it.
    fn is_retryable(self) -> bool;
}

/// A table of kinds: variant, whether it may pass by itself, message.
macro_rules! kinds {
    ($($(#[$doc:meta])+ $name:ident { $($(#[$variant_doc:meta])+ $variant:ident $retry:literal $message:literal,)+ })+) => {
        $($(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])+ $variant,)+
        }

        impl sealed::Sealed for $name {}

        impl ErrorKind for $name {
            fn is_retryable(self) -> bool {
                match self {
                    $(Self::$variant => $retry,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $message,)+
                })
            }
        })+

        /// Every kind as its path, and whether it may pass by itself.
        #[cfg(test)]
        pub(super) fn all() -> Vec<(&'static str, bool)> {
            vec![
                $($((
                    concat!(stringify!($name), "::", stringify!($variant)),
                    $name::$variant.is_retryable(),
                ),)+)+
            ]
        }
    };
}

kinds! {
    /// Why there is no connection.
    ConnectionErrorKind {
        /// The options cannot work; the source says which.
        InvalidOptions false "invalid options",
        /// The transport could not be opened; the source says why.
        Dial true "the server cannot be reached",
        /// The server answered CONNECT with a reason code of 0x80 or above.
        Refused false "the server refused the connection",
        /// The attempt took longer than the connect timeout.
        TimedOut true "the connection was not made in time",
        /// The server sent DISCONNECT.
        ByServer true "the server ended the connection",
        /// The server broke the protocol, and was told so unless it had ended the connection. A DISCONNECT before CONNACK
        /// [MQTT-3.14.0-1] is here, with its reason code, which then says whether a later attempt may succeed.
        Protocol false "the server broke the protocol",
        /// The server was silent for too long.
        KeepAliveTimeout true "the server was silent for too long",
        /// The transport took no byte for too long, or a packet stayed incomplete.
        TransportStalled true "the transport moved no bytes for too long",
        /// An acknowledgement or PINGREQ would have been larger than the server accepts.
        PacketTooLarge false "the server accepts no packets of the size that is needed",
        /// The transport was closed by the server or failed.
        TransportClosed true "the transport was closed",
        /// The application took no message for longer than the stall timeout.
        ConsumerStalled true "the application took no messages for too long",
        /// The application declined the attempt, or did not answer in time.
        Declined true "the application declined the attempt",
        /// The client was stopped before.
        Closed false "the client has stopped",
    }

    /// Why a publish did not succeed.
    PublishErrorKind {
        /// There is no connection, and the offline policy is to fail.
        NotConnected true "there is no connection",
        /// The client has stopped, or is stopping.
        Closed false "the client has stopped",
        /// There was no room at once: only from operations that never wait.
        WouldBlock true "there is no room at the moment",
        /// The timeout of the operation passed. What was not encoded by then was withdrawn; what was goes on.
        TimedOut true "the publish did not complete in time",
        /// The server refused the message.
        Rejected false "the server rejected the message",
        /// The exchange was open when the session ended: the message may or may not have been delivered.
        Unknown false "the message may or may not have been delivered",
        /// The server lost the session with the exchange open: the message may or may not have been delivered. Only where the policy is
        /// not to publish it again, see [`OnSessionLost`](crate::OnSessionLost); QoS 2 ends as `Unknown`.
        SessionLost true "the session was lost before the message was acknowledged",
        /// The message never left.
        NotSent true "the message was not sent",
        /// The offline queue is full, and the policy is not to wait.
        QueueFull true "the offline queue is full",
        /// The message was not sent and never will be: it made room for a newer one in the offline queue, or is QoS 0 and its connection
        /// was lost before it could be encoded.
        Dropped true "the message was dropped before it was sent",
        /// A newer retained message for the same topic took its place while it waited.
        Superseded false "a newer retained message took its place",
        /// The message was withdrawn.
        Withdrawn false "the message was withdrawn",
        /// The message expired before it was first sent.
        Expired false "the message expired before it was sent",
        /// An interceptor of this client refused the message; the source says why.
        Intercepted false "an interceptor refused the message",
        /// The topic cannot be published to; the source says why.
        InvalidTopic false "invalid topic",
        /// A property cannot be sent; the source says why.
        InvalidProperty false "a property cannot be sent",
        /// The packet is larger than the server accepts, or than a queue can ever hold.
        TooLarge false "the message is too large",
        /// The server grants no such Quality of Service.
        QoSNotSupported false "the server does not support this QoS",
        /// The server keeps no retained messages.
        RetainNotSupported false "the server does not support retained messages",
    }

    /// Why a subscribe did not succeed.
    SubscribeErrorKind {
        /// There is no connection, and the offline policy is to fail.
        NotConnected true "there is no connection",
        /// The client has stopped, or is stopping.
        Closed false "the client has stopped",
        /// The timeout of the operation passed; the filters were given up.
        TimedOut true "the subscribe was not answered in time",
        /// The server refused at least one filter.
        Rejected false "the server rejected the subscription",
        /// The connection was lost before the server answered, and the client stopped.
        ConnectionLost true "the connection was lost before the subscribe was answered",
        /// The server ended the connection instead of an answer, three times.
        RejectedByDisconnect false "the server ended the connection because of the subscribe",
        /// A filter is not valid; the source says why.
        InvalidFilter false "invalid topic filter",
        /// No filter was given.
        NoFilters false "a subscribe needs a filter",
        /// A property cannot be sent; the source says why.
        InvalidProperty false "a property cannot be sent",
        /// No Local was asked for on a shared subscription [MQTT-3.8.3-4].
        NoLocalOnSharedSubscription false "No Local cannot be used on a shared subscription",
        /// Another subscription of this client holds the filter with other No Local or Retain As Published.
        ConflictingOptions false "the filter is already subscribed with other options",
        /// The packet is larger than the server accepts.
        TooLarge false "the subscribe is too large for the server",
        /// The server has no wildcard subscriptions.
        WildcardsNotSupported false "the server does not support wildcard subscriptions",
        /// The server has no shared subscriptions.
        SharedSubscriptionsNotSupported false "the server does not support shared subscriptions",
    }

    /// Why a request has no answer.
    RequestErrorKind {
        /// The client has stopped, or the response subscription has ended.
        Closed false "the requester has ended",
        /// No answer came in time.
        TimedOut true "no answer came in time",
        /// The server says that nobody is subscribed to the topic of the request (3.4.2.1). Not every server says so.
        NoResponder true "nobody is subscribed to the topic of the request",
        /// The request could not be published; the source says why.
        NotPublished false "the request could not be published",
    }

    /// Why an unsubscribe did not succeed.
    UnsubscribeErrorKind {
        /// There is no connection, and the offline policy is to fail.
        NotConnected true "there is no connection",
        /// The client has stopped, or is stopping.
        Closed false "the client has stopped",
        /// The timeout of the operation passed; the filters are no longer routed.
        TimedOut true "the unsubscribe was not answered in time",
        /// The server refused at least one filter.
        Rejected false "the server rejected the unsubscribe",
        /// The connection was lost before the server answered, and the client stopped.
        ConnectionLost true "the connection was lost before the unsubscribe was answered",
        /// The server ended the connection instead of an answer, three times.
        RejectedByDisconnect false "the server ended the connection because of the unsubscribe",
        /// A filter is not valid; the source says why.
        InvalidFilter false "invalid topic filter",
        /// No filter was given.
        NoFilters false "an unsubscribe needs a filter",
        /// A property cannot be sent; the source says why.
        InvalidProperty false "a property cannot be sent",
        /// The packet is larger than the server accepts.
        TooLarge false "the unsubscribe is too large for the server",
    }

    /// Why a disconnect was not as asked for.
    DisconnectErrorKind {
        /// A property cannot be sent; the source says why. Nothing was done.
        InvalidProperty false "a property cannot be sent",
        /// A Session Expiry Interval above zero, when the client connected with zero (3.14.2.2.2). Nothing was done.
        InvalidSessionExpiry false "the session expiry cannot be raised from zero",
        /// The client has stopped, but operations had not completed when the drain time was over.
        NotDrained false "not all operations completed in time",
    }
}
