//! Why a request is refused. Metrics and the audit log show the exact reason; callers see less.

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The text is not a secret of this operator: length, alphabet or checksum is wrong.
    MalformedSecret,
    /// No key has this id.
    UnknownKey,
    /// The name is not that of the key.
    WrongName,
    /// The key has no such secret.
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
    /// The access token was not issued here or has expired, or its key or secret is no longer
    /// accepted.
    InvalidToken,
    /// The access token is for another audience.
    WrongAudience,
    /// The tokens of the key are not for the requested audience.
    AudienceNotCovered,
    /// The key does not cover the organization.
    OrganizationNotCovered,
    /// The key lacks a requested role.
    RoleNotHeld,
    /// The budget of refusals is used up.
    TooManyFailures,
    /// Too many checks that need argon2id.
    Overloaded,
    /// The API server has not been reached for too long.
    Stale,
    /// The secret is unknown, and a watch that would deliver a new one may lack changes. `Unheard` in
    /// metrics and audit entries.
    NotSynced,
    /// There is no signing key.
    NoSigningKey,
}

impl Refusal {
    /// All refusals.
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
        Self::NotSynced,
        Self::NoSigningKey,
    ];

    /// The name in metrics and audit entries.
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
            Self::NotSynced => "Unheard",
            Self::NoSigningKey => "NoSigningKey",
        }
    }

    /// Whether a new secret gets this refusal while this process does not know it yet.
    #[must_use]
    pub const fn may_be_of_a_new_secret(self) -> bool {
        matches!(self, Self::UnknownKey | Self::WrongSecret)
    }

    /// Whether the caller failed to authenticate. Callers can't tell these refusals apart.
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

/// A refused request.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The reason.
    pub refusal: Refusal,
    /// When to try again, if a retry can succeed.
    pub retry_after_seconds: Option<u64>,
}
