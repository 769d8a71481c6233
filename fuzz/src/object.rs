//! Every stored object is read, or at least its identity is. No list or watch fails because of it.

use apikey_api::{ApiKey, Organization};
use apikey_client::object::{Decode, NamespaceLabels, Page, Stored};
use apikey_operator::controller::delivered::Delivered;
use apikey_operator::watch::stored::StoredRecord;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use serde_json::value::RawValue;

use super::line;

/// Parts of an object, separated by a zero byte: `managedFields`, finalizers, labels, annotations, owners,
/// spec, status, data. A part that is not JSON becomes null.
const PARTS: usize = 8;

/// Reads the bytes as an object, and reads an object that is assembled from them.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let made = object(&text);
    read::<ApiKey>(&text, &made);
    read::<Organization>(&text, &made);
    read::<NamespaceLabels>(&text, &made);
    read::<Delivered>(&text, &made);
    read::<Secret>(&text, &made);
    read::<StoredRecord>(&text, &made);
    read::<Lease>(&text, &made);
    read::<Event>(&text, &made);
}

fn read<K: Decode>(text: &str, made: &str) {
    // No text may cause a panic.
    let _ = Stored::<K>::read(text);
    let stored = Stored::<K>::read(made).expect("its identity can be read");
    assert_eq!(&*stored.identity.name, "a");
    assert_eq!((&*stored.identity.uid, stored.identity.version()), ("u", 7));
    let page = format!(r#"{{"metadata": {{}}, "items": [{made}, {made}]}}"#);
    let page: Page<K> = serde_json::from_str(&page).expect("a page is read item by item");
    assert_eq!(page.into_items().len(), 2);
    line::check_identity::<K>(made);
    if let Err(error) = stored.object {
        let error = error.to_string();
        assert!(error.chars().count() <= 256 && !error.chars().any(char::is_control));
    }
}

fn object(text: &str) -> String {
    let mut parts = text.split('\0').map(|part| {
        let json = RawValue::from_string(part.to_owned());
        json.map_or_else(|_| "null".to_owned(), |json| json.get().to_owned())
    });
    let parts: [String; PARTS] =
        std::array::from_fn(|_| parts.next().unwrap_or_else(|| "null".to_owned()));
    let [
        fields,
        finalizers,
        labels,
        annotations,
        owners,
        spec,
        status,
        data,
    ] = parts;
    format!(
        r#"{{"metadata": {{"namespace": "n", "name": "a", "uid": "u", "resourceVersion": "7",
            "managedFields": {fields}, "finalizers": {finalizers}, "labels": {labels},
            "annotations": {annotations}, "ownerReferences": {owners}}},
            "spec": {spec}, "status": {status}, "data": {data}}}"#
    )
}
