//! The steps that remain after the current secret is delivered. Pure.

use super::model::{Action, Observed, Situation};
use super::render;
use apikey_credential::record::{Claim, CredentialRecord};

/// The next step after the current secret is delivered, or the final situation.
pub(super) fn upkeep(observed: &Observed, document: &CredentialRecord) -> (Vec<Action>, Situation) {
    let token_url = observed.settings.token_url.as_deref();
    let own = observed.own_delivered();
    if own.is_some_and(|secret| !secret.is_labelled) {
        return (vec![Action::LabelDelivered], Situation::Working);
    }
    if let Some(secret) = own
        && !observed.template_applied
        && render::needs_template(&observed.apikey, secret, token_url)
    {
        return (vec![Action::ApplyTemplate], Situation::Working);
    }
    if document.claim == Claim::Unclaimed {
        return (Vec::new(), Situation::Unclaimed);
    }
    (Vec::new(), Situation::Usable)
}
