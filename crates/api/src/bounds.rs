//! Bounds in the CRD schemas from which other code derives its own, such as the maximum size of a token.

/// Maximum number of roles of a key in one organization.
pub const MAX_ROLES: u32 = 64;
/// Maximum length of a role, in characters.
pub const MAX_ROLE_CHARS: u32 = 63;
/// Maximum total length of the roles of a key in one organization, in characters.
pub const MAX_ROLES_CHARS: u32 = 1536;
/// Maximum total number of roles that a key lists for sub-organizations.
pub const MAX_SUB_ORG_ROLES: u32 = 256;
/// Maximum number of audiences of a key.
pub const MAX_AUDIENCES: u32 = 16;
/// Maximum length of an audience, in characters.
pub const MAX_AUDIENCE_CHARS: u32 = 253;
/// Maximum total length of the audiences of a key, in characters.
pub const MAX_AUDIENCES_CHARS: u32 = 1024;
/// Maximum lifetime of a token that a key or an organization can set, in seconds: a day.
pub const MAX_TOKEN_TTL_SECONDS: u32 = 86_400;
/// Maximum total length of the annotations of a key's template, including their keys, in characters.
pub const MAX_ANNOTATIONS_CHARS: u32 = 8192;
/// Maximum size in bytes of the spec of a key that the operator reads. The API server allows 256 KiB of
/// annotations on a Secret, so a key with a larger spec could never have received its Secret.
pub const MAX_SPEC_BYTES: usize = 384 * 1024;
