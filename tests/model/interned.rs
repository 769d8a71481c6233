//! Values that are stored once, so that states are small and quickly compared.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{LazyLock, Mutex};

use apikey_api::ApiKeyStatus;
use apikey_credential::record::CredentialRecord;
use serde::Serialize;

/// A value that is stored once, so that states are small and comparisons are fast.
pub(crate) struct Interned<T: 'static> {
    number: u32,
    value: &'static T,
}

/// All credential records.
pub(crate) static DOCUMENTS: LazyLock<Table<CredentialRecord>> = LazyLock::new(Table::default);
/// All statuses of keys.
pub(crate) static STATUSES: LazyLock<Table<ApiKeyStatus>> = LazyLock::new(Table::default);

impl<T> Interned<T> {
    /// `number` must be unique among the values of the type. The value stays until the process
    /// ends.
    pub(crate) fn new(number: usize, value: T) -> Self {
        Self {
            number: u32::try_from(number).unwrap(),
            value: Box::leak(Box::new(value)),
        }
    }
}

/// The values of one type, by their JSON.
pub(crate) struct Table<T: 'static>(Mutex<BTreeMap<String, Interned<T>>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Serialize> Table<T> {
    pub(crate) fn intern(&self, value: T) -> Interned<T> {
        let json = serde_json::to_string(&value).unwrap();
        let mut table = self.0.lock().unwrap();
        let number = table.len();
        let interned = table.entry(json);
        *interned.or_insert_with(|| Interned::new(number, value))
    }
}

impl<T> Clone for Interned<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Interned<T> {}

impl<T> PartialEq for Interned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Interned<T> {}

impl<T> PartialOrd for Interned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Interned<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

impl<T> Hash for Interned<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl<T: fmt::Debug> fmt::Debug for Interned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T> Deref for Interned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}
