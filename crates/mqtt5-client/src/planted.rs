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
    /// Subscriptions are not sent again when the session is lost.
    SkipResubscribe,
    /// Subscriptions are sent again although the session lives.
    ResubscribeAlways,
    /// A message is acknowledged when it arrives, not when the application has taken it.
    AcknowledgeEarly,
    /// CONNACK makes the backoff begin anew.
    ResetBackoffAtConnack,
    /// The driver is not woken for bytes.
    ForgetDriverWaker,
    /// The driver is not woken for an earlier deadline.
    ForgetDeadline,
    /// The driver is not woken for a message of QoS 0.
    ForgetQos0Waker,
    /// Messages of QoS 0 are accepted and never sent.
    LoseQos0,
    /// Whoever waits for an operation is not woken when it ends.
    ForgetOperationWaker,
    /// The slot of an operation that nobody waits for any more is kept.
    KeepSlot,
    /// Whoever waits for a message is not woken when one arrives.
    ForgetConsumerWaker,
    /// What waits for a connection leaves in the wrong order.
    ReorderWaiting,
    /// Of several subscriptions that match only one gets the message.
    DeliverToOne,
    /// What the application holds never stops reading.
    IgnoreInboundBound,
    /// What waits for a connection has no bound.
    IgnoreOfflineBound,
    /// The queue of a subscription has no bound, unless it stops the reading.
    IgnoreQueueBound,
    /// Nobody is told of a message that a full queue loses.
    DropUntold,
    /// A publish that has left can be withdrawn.
    WithdrawEncoded,
    /// What waits for a connection is lost when one ends.
    LoseWaiting,
    /// The server is not told that a subscription was dropped.
    KeepDropped,
    /// Filters that were left are subscribed again with the others of their call when the session is lost.
    ResubscribeLeft,
    /// A SUBSCRIBE that was lost with its connection is not sent again.
    LoseSubscribe,
    /// What waits for a connection ends as not sent when one is lost.
    FailWaiting,
    /// A SUBSCRIBE that was lost with its connection fails.
    FailSubscribe,
    /// A publish does not end when its timeout has passed.
    ForgetTimeout,
    /// CONNECT carries no will (3.1.2.5).
    OmitWill,
    /// DISCONNECT discards the will, though it is to be published (3.14.4).
    DiscardWill,
    /// Redirects are followed that nobody asked to follow (4.11).
    FollowUnasked,
    /// The user name goes to a server that only a redirect named.
    TellStrangers,
    /// When a server fails the same one is asked again, whatever others there are.
    StayAtServer,
    /// An attempt that the application declines begins all the same.
    DialDeclined,
    /// An answer goes to the oldest request, whatever its Correlation Data says (4.10).
    MixUpAnswers,
    /// What an interceptor says about a message to be published is not looked at.
    PublishRefused,
    /// A message that an interceptor discards reaches the application.
    PassDiscarded,
}
