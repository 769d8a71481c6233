//! Flags of the controller.

use clap::Args;

use super::common::namespace;
use apikey_credential::Argon2Cost;
use apikey_credential::hash::{MAX_STORED_ITERATIONS, MAX_STORED_MEMORY_KIB};
use apikey_credential::signing::Algorithm;

/// Flags of the controller.
#[derive(Args, Clone, Debug)]
pub struct ControllerFlags {
    /// Domain of the e-mail addresses that represent keys in audit records.
    #[arg(long, env = "APIKEY_OPERATOR_EMAIL_DOMAIN", default_value = "apikeys.internal",
        value_parser = domain)]
    pub email_domain: String,

    /// Elect one controller at a time to write, by a Lease. Without it, several controllers repeat
    /// each other's work, which is harmless.
    #[arg(long, env = "APIKEY_OPERATOR_LEADER_ELECT", num_args = 0..=1,
        default_value_t = true, default_missing_value = "true", require_equals = true,
        action = clap::ArgAction::Set, value_name = "BOOL")]
    pub leader_elect: bool,

    /// Memory for one argon2id hash, in KiB.
    #[arg(long, env = "APIKEY_OPERATOR_ARGON2_MEMORY_KIB", default_value_t = 19_456,
        value_parser = clap::value_parser!(u32).range(8..=i64::from(MAX_STORED_MEMORY_KIB)),
        value_name = "KIB")]
    pub argon2_memory_kib: u32,

    /// Number of passes of one argon2id hash over its memory.
    #[arg(long, env = "APIKEY_OPERATOR_ARGON2_ITERATIONS", default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_STORED_ITERATIONS)),
        value_name = "N")]
    pub argon2_iterations: u32,

    /// Maximum number of keys reconciled at the same time.
    #[arg(long, env = "APIKEY_OPERATOR_CONCURRENCY", default_value_t = 32,
        value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N")]
    pub concurrency: u16,

    /// Export metrics with the namespace and name of each key. Consider turning them off in large
    /// clusters.
    #[arg(long, env = "APIKEY_OPERATOR_PER_KEY_METRICS", num_args = 0..=1,
        default_value_t = true, default_missing_value = "true", require_equals = true,
        action = clap::ArgAction::Set, value_name = "BOOL")]
    pub per_key_metrics: bool,

    /// Algorithm of new signing keys: ES256, RS256 or EdDSA. A change takes effect after the new
    /// key has been published for an hour. Tokens signed with the old key stay valid until they
    /// expire.
    #[arg(
        long,
        env = "APIKEY_OPERATOR_SIGNING_ALGORITHM",
        default_value = "ES256",
        value_name = "ALG"
    )]
    pub signing_algorithm: Algorithm,

    /// Days after which a new signing key replaces the current one.
    #[arg(long, env = "APIKEY_OPERATOR_SIGNING_KEY_ROTATION_DAYS", default_value_t = 90,
        value_parser = clap::value_parser!(u16).range(1..=3650), value_name = "DAYS")]
    pub signing_key_rotation_days: u16,

    /// Adopt keys from a backup. While this is set, the controller mints and removes nothing, so
    /// that objects can be restored in any order; see docs/backup.md.
    #[arg(long, env = "APIKEY_OPERATOR_RESTORE", num_args = 0..=1,
        default_value_t = false, default_missing_value = "true", require_equals = true,
        action = clap::ArgAction::Set, value_name = "BOOL")]
    pub restore: bool,
}

/// The validated configuration of the controller.
#[derive(Clone, Debug)]
pub struct Controller {
    /// Domain of the keys' e-mail addresses.
    pub email_domain: String,
    /// Whether a Lease decides which controller writes.
    pub leader_elect: bool,
    /// Cost of one hash.
    pub argon2: Argon2Cost,
    /// Maximum number of keys reconciled at the same time.
    pub concurrency: u16,
    /// Whether metrics name individual keys.
    pub per_key_metrics: bool,
    /// Algorithm of new signing keys.
    pub signing_algorithm: Algorithm,
    /// Days after which a new signing key replaces the current one.
    pub signing_key_rotation_days: u16,
    /// Whether keys are adopted from a backup.
    pub restore: bool,
}

impl ControllerFlags {
    /// Converts the flags, which are already validated.
    #[must_use]
    pub fn check(self) -> Controller {
        Controller {
            email_domain: self.email_domain,
            leader_elect: self.leader_elect,
            argon2: Argon2Cost {
                memory_kib: self.argon2_memory_kib,
                iterations: self.argon2_iterations,
            },
            concurrency: self.concurrency,
            per_key_metrics: self.per_key_metrics,
            signing_algorithm: self.signing_algorithm,
            signing_key_rotation_days: self.signing_key_rotation_days,
            restore: self.restore,
        }
    }
}

fn domain(text: &str) -> Result<String, String> {
    let label = |label: &str| namespace(label).is_ok();
    if text.len() <= 189 && text.split('.').all(label) {
        Ok(text.to_owned())
    } else {
        Err("must be a domain name of at most 189 lower-case characters".into())
    }
}
