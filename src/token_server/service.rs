//! Shared by the routes: authenticates callers, issues tokens and records refusals.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use parking_lot::RwLock;
use tokio::time::Instant;

use super::argon2::{Argon2Path, DEADLINE};
use super::audit_log::{Entry, Outcome};
use super::check_secret::{CheckOutcome, Login, Proven, SecretChecker, Undecided};
use super::check_token;
use super::claims::{self, Claims, ClaimsError, Issuer, Wanted};
use super::index::{Credential, Index};
use super::last_used::LastUsed;
use super::limits::FailureLimits;
use super::metrics::TokenMetrics;
use super::refusal::{Refusal, Refused};
use super::route_label::Route;
use super::signer::Signer;
use super::watch_name;
use crate::audit::log::AuditLog;
use crate::watch::cache_sync::CacheSync;
use apikey_client::clock::Clock;
use apikey_credential::{hex, random};

/// Longest `Retry-After` of a refusal. Unit: seconds.
const MAX_RETRY_AFTER_SECONDS: u64 = 60;
/// `Retry-After` while the index is stale.
const STALE_WAIT: Duration = Duration::from_secs(30);
/// `Retry-After` for a secret that may be new.
const NOT_SYNCED_WAIT: Duration = Duration::from_secs(1);

/// The watches that deliver new secrets.
const WATCHES_OF_SECRETS: [&str; 2] = [watch_name::APIKEYS, watch_name::RECORDS];

/// State that all routes share.
#[derive(Debug)]
pub struct Service {
    /// All keys.
    pub index: Arc<Index>,
    /// Checks secrets without argon2id.
    pub checker: SecretChecker,
    /// Checks the secrets that only argon2id can check.
    pub argon2: Argon2Path,
    /// Budgets for refusals.
    pub limits: FailureLimits,
    /// Signs tokens. `None` until the signing key ring has been read.
    pub signer: RwLock<Option<Arc<Signer>>>,
    /// Why the signing key ring that was read last can't be used, if it can't.
    pub unusable_ring: RwLock<Option<String>>,
    /// The issuer.
    pub issuer_url: String,
    /// Audiences of the tokens of a key that names none.
    pub audiences: Vec<String>,
    /// How long to keep serving without an update from the API server.
    pub max_staleness: SignedDuration,
    /// Progress and staleness of the watches.
    pub watches: CacheSync,
    /// The source of the current time.
    pub clock: Clock,
    /// Records audit entries.
    pub audit: AuditLog,
    /// Records which keys are used.
    pub last_used: LastUsed,
    /// Metrics of the token server.
    pub metrics: TokenMetrics,
}

/// The route and the caller of a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The route.
    pub route: Route,
    /// Address of the caller.
    pub remote: IpAddr,
}

/// A token, and the response fields that accompany it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The token.
    pub access_token: String,
    /// How long it is valid. Unit: seconds.
    pub expires_in: i64,
    /// The roles in it, separated by spaces, if the caller asked for some of them.
    pub scope: Option<String>,
}

/// Why no token was issued.
#[derive(Clone, Debug)]
pub enum NotIssued {
    /// See [`Refused`].
    Refused(Refused),
    /// A role of the scope that the key does not hold; empty if the scope names none.
    Scope(String),
}

impl Service {
    /// Returns the key that this secret belongs to, if it may be used.
    ///
    /// # Errors
    /// [`Refused`]; it is counted and recorded in the audit log.
    pub async fn authenticate(
        &self,
        caller: Caller,
        secret: &str,
        login: Login<'_>,
    ) -> Result<Proven, Refused> {
        self.fresh(caller)?;
        let outcome = self.checker.check(secret, login, self.clock.now());
        match self.unless_new(caller, outcome)? {
            CheckOutcome::Proven(proven) => self.accept(caller, proven),
            CheckOutcome::Refused(refusal, credential) => {
                Err(self.refuse(caller, refusal, credential))
            }
            CheckOutcome::Undecided(question) => self.ask_argon2(caller, question).await,
        }
    }

    fn accept(&self, caller: Caller, proven: Proven) -> Result<Proven, Refused> {
        if !self.is_fresh(&proven.credential) {
            return Err(self.refuse_later(caller, Refusal::Stale, STALE_WAIT));
        }
        self.metrics.verified(&proven);
        self.last_used.note(&proven.credential);
        Ok(proven)
    }

    async fn ask_argon2(&self, caller: Caller, question: Undecided) -> Result<Proven, Refused> {
        let busy = self.argon2.in_flight() > 0;
        // Charge the budget before hashing, whatever the result: hashing is the work that floods
        // must not reach. A caller without budget is not locked out, because it is served while no
        // other check runs.
        let budget = self.limits.take(caller.remote);
        if let Err(wait) = budget
            && busy
        {
            return Err(self.refuse_later(caller, Refusal::TooManyFailures, wait));
        }
        let decided = self.argon2.decide(&question).await;
        let place =
            decided.map_err(|_| self.refuse_later(caller, Refusal::Overloaded, DEADLINE))?;
        let outcome = self.checker.decided(&question, place, self.clock.now());
        match self.unless_new(caller, outcome)? {
            CheckOutcome::Proven(proven) => self.accept(caller, proven),
            CheckOutcome::Refused(refusal, credential) => {
                self.note(caller, refusal, credential);
                Err(Refused {
                    refusal,
                    retry_after_seconds: budget.err().map(seconds),
                })
            }
            CheckOutcome::Undecided(_) => Err(self.refuse(caller, Refusal::Overloaded, None)),
        }
    }

    /// Returns the outcome, unless it refuses a secret that may have been delivered a moment ago.
    /// The controller may be connected to the API server while this process is not.
    fn unless_new(&self, caller: Caller, outcome: CheckOutcome) -> Result<CheckOutcome, Refused> {
        let may_lack_changes = || {
            self.watches
                .may_lack_changes(&WATCHES_OF_SECRETS, Instant::now())
        };
        if let CheckOutcome::Refused(refusal, _) = outcome
            && refusal.may_be_of_a_new_secret()
            && may_lack_changes()
        {
            return Err(self.refuse_later(caller, Refusal::NotSynced, NOT_SYNCED_WAIT));
        }
        Ok(outcome)
    }

    /// Checks that every watch is recent enough to trust the index.
    ///
    /// # Errors
    /// [`Refusal::Stale`].
    pub fn fresh(&self, caller: Caller) -> Result<(), Refused> {
        if self.watches.staleness(self.clock.now()) <= self.max_staleness {
            return Ok(());
        }
        Err(self.refuse_later(caller, Refusal::Stale, STALE_WAIT))
    }

    /// Like [`Service::fresh`], for the namespace of a key, where keys are watched by namespace.
    fn is_fresh(&self, credential: &Credential) -> bool {
        let namespace = &credential.key.namespace;
        let staleness = self.watches.staleness_in(namespace, self.clock.now());
        staleness.is_none_or(|staleness| staleness <= self.max_staleness)
    }

    /// Issues a token for an authenticated key.
    ///
    /// # Errors
    /// [`NotIssued`]; a refusal is counted and recorded in the audit log.
    pub fn issue(
        &self,
        caller: Caller,
        proven: &Proven,
        wanted: Wanted<'_>,
    ) -> Result<Issued, NotIssued> {
        let now = self.clock.now();
        let credential = || Some(Arc::clone(&proven.credential));
        let refuse = |refusal| NotIssued::Refused(self.refuse(caller, refusal, credential()));
        let signer = self.signer.read().clone();
        let signer = signer.ok_or_else(|| refuse(Refusal::NoSigningKey))?;
        let id = random::bytes::<16>().map_err(|_| refuse(Refusal::NoSigningKey))?;
        let jti = hex::encode(&id);
        let claims =
            claims::claims(proven, wanted, self.issuer(), &jti, now).map_err(|e| match e {
                ClaimsError::Refused(refusal) => refuse(refusal),
                ClaimsError::Scope(role) => NotIssued::Scope(role),
            })?;
        let access_token = signer.sign(&claims, now).map_err(refuse)?;
        let (exp, organization_id) = (claims.exp, claims.current_organization_id);
        let expires_in = exp - claims.iat;
        let scope = claims.scope.as_deref().map(str::to_owned);
        drop(claims);
        self.metrics.issued(caller.route);
        self.audit.record(Entry {
            at: now,
            route: caller.route,
            remote: caller.remote,
            credential: credential(),
            outcome: Outcome::Issued {
                jti,
                exp,
                organization_id,
                revision: proven.revision,
            },
        });
        Ok(Issued {
            access_token,
            expires_in,
            scope,
        })
    }

    /// Properties shared by all tokens of this server.
    #[must_use]
    pub fn issuer(&self) -> Issuer<'_> {
        Issuer {
            url: &self.issuer_url,
            audiences: &self.audiences,
        }
    }

    /// Checks an access token against the current state of its key. Returns its claims, with the
    /// roles and audiences that the key has now, and the key; `None` if the token must not be
    /// trusted now.
    #[must_use]
    pub fn inspect(&self, token: &str) -> Option<(Claims<'static>, Arc<Credential>)> {
        let signer = self.signer.read().clone()?;
        let claims = signer.verify(token)?;
        if claims.iss != self.issuer_url {
            return None;
        }
        let id = apikey_credential::KeyId::try_from(&*claims.client_id).ok()?;
        let credential = self.index.get(&id)?;
        if !self.is_fresh(&credential) {
            return None;
        }
        let claims = check_token::current_claims(claims, &credential, self.clock.now())?;
        Some((claims, credential))
    }

    /// Counts a refusal and records it in the audit log. It is charged to the budget of the caller
    /// if the caller failed to authenticate.
    pub fn refuse(
        &self,
        caller: Caller,
        refusal: Refusal,
        credential: Option<Arc<Credential>>,
    ) -> Refused {
        self.note(caller, refusal, credential);
        let wait = refusal
            .is_unproven()
            .then(|| self.limits.take(caller.remote).err())
            .flatten();
        let passes = matches!(refusal, Refusal::NoSigningKey | Refusal::Overloaded);
        Refused {
            refusal,
            retry_after_seconds: wait.map(seconds).or_else(|| passes.then_some(1)),
        }
    }

    fn refuse_later(&self, caller: Caller, refusal: Refusal, wait: Duration) -> Refused {
        self.note(caller, refusal, None);
        Refused {
            refusal,
            retry_after_seconds: Some(seconds(wait)),
        }
    }

    fn note(&self, caller: Caller, refusal: Refusal, credential: Option<Arc<Credential>>) {
        self.metrics.refused(caller.route, refusal);
        self.audit.record(Entry {
            at: self.clock.now(),
            route: caller.route,
            remote: caller.remote,
            credential,
            outcome: Outcome::Refused(refusal),
        });
    }
}

fn seconds(wait: Duration) -> u64 {
    let rounded_up = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    rounded_up.clamp(1, MAX_RETRY_AFTER_SECONDS)
}
