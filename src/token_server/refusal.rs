//! Why a caller gets nothing. The word goes to metrics and the audit trail; callers see less.

/// Why a caller gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The text is no secret of ours: length, alphabet or checksum.
    MalformedSecret,
    /// No key has this id.
    UnknownKey,
    /// The name is not that of the key.
    WrongName,
    /// The secret is not one of the key.
    WrongSecret,
    /// The secret was replaced and its overlap is over.
    ReplacedSecret,
    /// The key has expired.
    Expired,
    /// The key is suspended.
    Suspended,
    /// The key is being deleted.
    Deleted,
    /// The rules of its organization do not allow the key.
    NotAllowed,
    /// The access token is not one of ours, its time is over, or its key or the secret that it was
    /// made with is no longer accepted.
    InvalidToken,
    /// The access token is for another audience.
    WrongAudience,
    /// Tokens of the key are not for the audience.
    AudienceNotCovered,
    /// The key does not cover the organization.
    OrganizationNotCovered,
    /// The key lacks a role that was asked for.
    RoleNotHeld,
    /// Too many refusals lately.
    TooManyFailures,
    /// Too many checks that need argon2id.
    Overloaded,
    /// The API server has not been heard for too long.
    Stale,
    /// No such secret is known, and a watch that would tell of a new one is broken.
    Unheard,
    /// No signing key.
    NoSigningKey,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::MalformedSecret,
        Self::UnknownKey,
        Self::WrongName,
        Self::WrongSecret,
        Self::ReplacedSecret,
        Self::Expired,
        Self::Suspended,
        Self::Deleted,
        Self::NotAllowed,
        Self::InvalidToken,
        Self::WrongAudience,
        Self::AudienceNotCovered,
        Self::OrganizationNotCovered,
        Self::RoleNotHeld,
        Self::TooManyFailures,
        Self::Overloaded,
        Self::Stale,
        Self::Unheard,
        Self::NoSigningKey,
    ];

    /// The word in metrics and audit lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedSecret => "MalformedSecret",
            Self::UnknownKey => "UnknownKey",
            Self::WrongName => "WrongName",
            Self::WrongSecret => "WrongSecret",
            Self::ReplacedSecret => "ReplacedSecret",
            Self::Expired => "Expired",
            Self::Suspended => "Suspended",
            Self::Deleted => "Deleted",
            Self::NotAllowed => "NotAllowed",
            Self::InvalidToken => "InvalidToken",
            Self::WrongAudience => "WrongAudience",
            Self::AudienceNotCovered => "AudienceNotCovered",
            Self::OrganizationNotCovered => "OrganizationNotCovered",
            Self::RoleNotHeld => "RoleNotHeld",
            Self::TooManyFailures => "TooManyFailures",
            Self::Overloaded => "Overloaded",
            Self::Stale => "Stale",
            Self::Unheard => "Unheard",
            Self::NoSigningKey => "NoSigningKey",
        }
    }

    /// Whether a secret that is new would be refused like this where it is not known yet.
    #[must_use]
    pub const fn may_be_of_a_new_secret(self) -> bool {
        matches!(self, Self::UnknownKey | Self::WrongSecret)
    }

    /// Whether the caller did not prove who it is: all of these look the same to it.
    #[must_use]
    pub const fn is_unproven(self) -> bool {
        matches!(
            self,
            Self::MalformedSecret
                | Self::UnknownKey
                | Self::WrongName
                | Self::WrongSecret
                | Self::ReplacedSecret
                | Self::Expired
                | Self::Suspended
                | Self::Deleted
                | Self::NotAllowed
                | Self::InvalidToken
        )
    }
}
