//! Well-formed secrets that were never issued.

use apikey_credential::{KeyId, Secret, random};

use crate::holder::{Holder, Request, request};

impl Holder {
    /// A request with the name of this key and a secret that it never had.
    pub(crate) fn wrong_secret(&self) -> Request {
        let forged = Secret::from_entropy(self.secret.key_id(), entropy());
        request(&self.name, &forged)
    }

    /// A request with the name of this key and a secret of a key that does not exist.
    pub(crate) fn unknown_key(&self) -> Request {
        let key_id = KeyId::from_entropy(random::bytes().unwrap());
        request(&self.name, &Secret::from_entropy(&key_id, entropy()))
    }
}

fn entropy() -> [u8; 32] {
    random::bytes().unwrap()
}
