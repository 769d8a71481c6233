//! Bounds of the definitions from which other parts derive theirs: how long a token can be.

/// Most roles of a key in one organization.
pub const MAX_ROLES: u32 = 64;
/// Longest role. Unit: characters.
pub const MAX_ROLE_CHARS: u32 = 63;
/// Longest that the roles of a key in one organization are together. Unit: characters.
pub const MAX_ROLES_CHARS: u32 = 1536;
/// Most roles that a key lists for sub-organizations, together.
pub const MAX_SUB_ORG_ROLES: u32 = 256;
/// Most audiences of a key.
pub const MAX_AUDIENCES: u32 = 16;
/// Longest audience. Unit: characters.
pub const MAX_AUDIENCE_CHARS: u32 = 253;
/// Longest that the audiences of a key are together. Unit: characters.
pub const MAX_AUDIENCES_CHARS: u32 = 1024;
/// Longest that the annotations of a key's template are together, keys included. Unit: characters.
pub const MAX_ANNOTATIONS_CHARS: u32 = 8192;
/// Longest spec of a key that is read. The API server takes 256 KiB of annotations on a Secret, so that
/// a key with more than this never got its own. Unit: bytes.
pub const MAX_SPEC_BYTES: usize = 384 * 1024;
