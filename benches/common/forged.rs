//! Secrets of the right form that nobody has.

use apikey_credential::{KeyId, Secret, random};

use crate::holder::{Holder, Request, request};

impl Holder {
    /// The name of this key with a secret that it never had.
    pub(crate) fn wrong_secret(&self) -> Request {
        let forged = Secret::from_entropy(self.secret.key_id(), entropy());
        request(&self.name, &forged)
    }

    /// The name of this key with the secret of a key that there is not.
    pub(crate) fn unknown_key(&self) -> Request {
        let key_id = KeyId::from_entropy(random::bytes().unwrap());
        request(&self.name, &Secret::from_entropy(&key_id, entropy()))
    }
}

fn entropy() -> [u8; 32] {
    random::bytes().unwrap()
}
