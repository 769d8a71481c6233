//! What happens to the objects: edits by people, and what controllers learn.

use apikey_api::Delivery;
use apikey_credential::record::Claim;

use super::state::{Key, Objects, State};
use super::world::{UIDS, Uid, World};

/// An object in the cache of a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    Key,
    Record(Uid),
    Delivered,
    Organization,
}

/// The edits of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    AsksForRotation,
    DiscardsPrevious,
    RemovesSecret,
    /// Removes the Secret's owner reference.
    TakesSecret,
    ClaimsSecret,
    DeletesKey,
    CreatesKey,
    ChangesOrganization,
}

impl State {
    /// Updates the cache of this controller to the current version of an object.
    pub(crate) fn learn(&mut self, controller: usize, object: Object) {
        let cache = &mut self.controllers[controller].cache;
        let objects = &self.objects;
        match object {
            Object::Key => cache.key.clone_from(&objects.key),
            Object::Record(uid) => *cache.record_mut(uid) = objects.record(uid),
            Object::Delivered => cache.delivered.clone_from(&objects.delivered),
            Object::Organization => cache.refuses = objects.refuses,
        }
    }

    /// The edits that users can make now.
    pub(crate) fn possible_edits(&self, world: &World) -> Vec<Edit> {
        let Objects { key, delivered, .. } = &self.objects;
        let mut edits = vec![Edit::ChangesOrganization];
        let Some(key) = key else {
            let again = usize::from(self.history.keys) < UIDS.len();
            edits.extend(again.then_some(Edit::CreatesKey));
            return edits;
        };
        edits.extend([Edit::AsksForRotation, Edit::DeletesKey]);
        let previous = self.previous_revision(key);
        edits.extend(previous.map(|_| Edit::DiscardsPrevious));
        if let Some(delivered) = delivered {
            edits.push(Edit::RemovesSecret);
            edits.extend((!delivered.is_taken).then_some(Edit::TakesSecret));
            let claims = world.delivery == Delivery::RevealOnce && delivered.revealed_at.is_none();
            edits.extend(claims.then_some(Edit::ClaimsSecret));
        }
        edits
    }

    fn previous_revision(&self, key: &Key) -> Option<i64> {
        let document = self.objects.record(key.uid)?;
        Some(document.previous.as_ref()?.revision)
    }

    fn has_recorded_delivery(&self) -> bool {
        let key = self.objects.key.as_ref();
        let document = key.and_then(|key| self.objects.record(key.uid));
        document.is_some_and(|document| document.claim != Claim::Unrecorded)
    }

    /// Applies the edit.
    pub(crate) fn edit(&mut self, world: &World, edit: Edit) {
        let now = world.moments[self.moment];
        let previous = self.objects.key.as_ref();
        let previous = previous.and_then(|key| self.previous_revision(key));
        let is_recorded = self.has_recorded_delivery();
        let Objects {
            key,
            delivered,
            refuses,
            ..
        } = &mut self.objects;
        match (edit, key.as_mut(), delivered.as_mut()) {
            (Edit::ChangesOrganization, ..) => *refuses = !*refuses,
            (Edit::CreatesKey, ..) => {
                self.history.keys += 1;
                *key = Some(Key::new(self.history.keys));
            }
            (Edit::DeletesKey, ..) => {
                *key = None;
                self.history.replaced = None;
            }
            (Edit::AsksForRotation, Some(key), _) => {
                key.asked += 1;
                if world.overlap_seconds == 0 {
                    let minted = self.history.minted_for.len();
                    self.history.ending = minted.try_into().unwrap();
                }
            }
            (Edit::DiscardsPrevious, Some(key), _) => {
                key.discarded = previous;
                self.history.replaced = None;
            }
            (Edit::RemovesSecret, ..) => {
                // If the delivery of a Secret is not recorded, its removal loses the claim.
                if !is_recorded && delivered.as_ref().is_some_and(|d| d.revealed_at.is_some()) {
                    self.history.claimed = None;
                }
                *delivered = None;
                self.history.replaced = None;
            }
            (Edit::TakesSecret, _, Some(delivered)) => delivered.is_taken = true,
            (Edit::ClaimsSecret, _, Some(delivered)) => {
                delivered.revealed_at = Some(now);
                self.history.claimed = Some(delivered.owner);
            }
            (
                Edit::AsksForRotation
                | Edit::DiscardsPrevious
                | Edit::TakesSecret
                | Edit::ClaimsSecret,
                ..,
            ) => {}
        }
    }
}
