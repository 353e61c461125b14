//! What can be wrong with an exchange.

/// Why a SCRAM exchange ended without success, or could not begin.
///
/// Every error of a running exchange ends it; answer the server with [`Abort`](crate::Authenticate::Abort).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScramError {
    /// The caller gave less randomness than a nonce needs.
    #[error("a nonce needs at least 12 random bytes")]
    NonceTooShort,
    /// A user name or an authorization identity that is empty.
    #[error("an empty name")]
    EmptyName,
    /// A name or password with characters that are not allowed: those that SASLprep (RFC 4013) prohibits and, without
    /// the feature `saslprep`, all but printable US-ASCII.
    #[error("a name or password with characters that are not allowed")]
    Prohibited,
    /// A message that does not follow the grammar of RFC 5802, section 7.
    #[error("a malformed message")]
    Malformed,
    /// A salt or a signature that is not base64.
    #[error("a value that is not base64")]
    Base64,
    /// The server's nonce does not begin with ours, or adds nothing to it.
    #[error("the server's nonce does not extend the client's")]
    NonceMismatch,
    /// The server asks for fewer iterations than the 4,096 of RFC 7677, section 4: it would weaken the password's
    /// protection.
    #[error("the server asks for only {0} iterations")]
    TooFewIterations(u64),
    /// The server asks for more iterations than [`maximum_iterations`](super::Scram::maximum_iterations) allows.
    #[error("the server asks for {0} iterations")]
    TooManyIterations(u64),
    /// The server demands an extension (`m=`); none is known.
    #[error("the server demands an extension that is not supported")]
    ExtensionNotSupported,
    /// The server says why it refuses.
    #[error("refused by the server: {0}")]
    Server(ServerError),
    /// The server's signature is wrong: it does not know the password, nor anything derived from it.
    #[error("the server's signature is wrong")]
    WrongSignature,
    /// A message that may not come now, or one after the exchange has ended.
    #[error("a message out of order")]
    OutOfOrder,
}

macro_rules! server_errors {
    ($($(#[$doc:meta])* $value:literal $name:ident)*) => {
        /// What a server names as the reason of its refusal (`e=`; RFC 5802, section 7).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum ServerError {
            $($(#[$doc])* #[error($value)] $name,)*
        }

        impl ServerError {
            /// All, in the order of the RFC.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// For the value of `e=`; an unknown one is [`Other`](Self::Other).
            pub(super) fn from_value(value: &str) -> Self {
                match value {
                    $($value => Self::$name,)*
                    _ => Self::Other,
                }
            }
        }
    };
}

server_errors! {
    /// A message was not well formed.
    "invalid-encoding" InvalidEncoding
    /// An extension is not known.
    "extensions-not-supported" ExtensionsNotSupported
    /// The password is wrong.
    "invalid-proof" InvalidProof
    /// The channel bindings of the two sides differ.
    "channel-bindings-dont-match" ChannelBindingsDontMatch
    /// The server does support channel binding, though the client believes that it does not.
    "server-does-support-channel-binding" ServerDoesSupportChannelBinding
    /// The server knows no channel binding.
    "channel-binding-not-supported" ChannelBindingNotSupported
    /// The server does not know this type of channel binding.
    "unsupported-channel-binding-type" UnsupportedChannelBindingType
    /// There is no such user.
    "unknown-user" UnknownUser
    /// The user name was not well formed.
    "invalid-username-encoding" InvalidUsernameEncoding
    /// The server is out of resources.
    "no-resources" NoResources
    /// Another reason, or one that RFC 5802 does not know.
    "other-error" Other
}
