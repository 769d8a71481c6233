//! Recognizes the call, and the key that it is for, in a request. Pure.

use std::fmt;

use apikey_api::names;
use axum::http::Method;
use serde_json::Value;

/// The verb of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Read,
    Create,
    Update,
    Patch,
    Remove,
}

/// The object of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Object {
    ApiKey,
    Delivered,
    Record,
    Organization,
    Event,
}

/// A kind of call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sort {
    pub(crate) verb: Verb,
    pub(crate) object: Object,
}

impl Sort {
    pub(crate) const STATUS_WRITE: Self = Self {
        verb: Verb::Update,
        object: Object::ApiKey,
    };
}

impl fmt::Debug for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.verb, self.object)
    }
}

/// A call for a key: the n-th of its kind, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) sort: Sort,
    pub(crate) nth: usize,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.sort, self.nth)
    }
}

/// The key that a request or an object is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct About {
    /// Name of the key, or of the organization with the same name. It is not known for some requests for
    /// a credential record.
    pub(super) key: Option<String>,
    /// uid of the `ApiKey`.
    pub(super) uid: Option<String>,
}

/// The kind of a request, and the key that it is about. `None` if it is about no key, like lists and
/// watches.
pub(super) fn read(method: &Method, path: &str, body: &Value) -> Option<(Sort, About)> {
    let parts: Vec<_> = path.split('/').collect();
    let (plural, name) = match parts.as_slice() {
        [.., plural @ ("apikeys" | "organizations"), name, "status"]
        | [.., plural @ ("apikeys" | "secrets"), name] => (*plural, Some(*name)),
        [.., plural @ ("secrets" | "events")] if *method == Method::POST => (*plural, None),
        _ => return None,
    };
    let verb = match *method {
        Method::GET => Verb::Read,
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE => Verb::Remove,
        _ => return None,
    };
    let named = body["metadata"]["name"].as_str();
    let (object, about) = match plural {
        "secrets" => secret(name.or(named)?, &body["metadata"]),
        "events" => {
            let regarding = &body["regarding"];
            (Object::Event, about(regarding["name"].as_str()?, regarding))
        }
        "organizations" => (Object::Organization, about(name?, &Value::Null)),
        _ => (Object::ApiKey, about(name?, &body["metadata"])),
    };
    Some((Sort { verb, object }, about))
}

/// The key that an object of a watch is about.
pub(super) fn of_object(object: &Value) -> Option<About> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str()?;
    Some(secret(name, metadata).1)
}

/// What a Secret of this name is: the credential record of a key, or a delivered Secret with the name of the key.
fn secret(name: &str, metadata: &Value) -> (Object, About) {
    let Some(uid) = names::record_owner_uid(name) else {
        return (Object::Delivered, about(name, &Value::Null));
    };
    let owner = metadata["annotations"][names::ANNOTATION_OWNER].as_str();
    let key = owner.and_then(|owner| Some(owner.split_once('/')?.1.to_owned()));
    let uid = Some(uid.to_owned());
    (Object::Record, About { key, uid })
}

fn about(key: &str, metadata: &Value) -> About {
    About {
        key: Some(key.to_owned()),
        uid: metadata["uid"].as_str().map(ToOwned::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_call(method: &Method, path: &str, body: &Value) -> Option<(String, About)> {
        read(method, path, body).map(|(sort, about)| (format!("{sort:?}"), about))
    }

    fn of(sort: &str, key: Option<&str>, uid: Option<&str>) -> (String, About) {
        let own = |text: &str| text.to_owned();
        let (key, uid) = (key.map(own), uid.map(own));
        (own(sort), About { key, uid })
    }

    #[test]
    fn a_call_is_known_by_its_path_or_else_by_its_body() {
        let (put, post, delete) = (Method::PUT, Method::POST, Method::DELETE);
        let record = json!({"metadata": {
            "name": "apikey-u1", "annotations": {"apikey-operator.dev/owner": "ns/ci"}
        }});
        let secrets = "/api/v1/namespaces/ns/secrets";
        assert_eq!(
            read_call(&post, secrets, &record),
            Some(of("Create Record", Some("ci"), Some("u1")))
        );
        assert_eq!(
            read_call(&delete, &format!("{secrets}/apikey-u1"), &Value::Null),
            Some(of("Remove Record", None, Some("u1")))
        );
        let delivered = json!({"metadata": {"name": "ci", "uid": "of the Secret"}});
        assert_eq!(
            read_call(&post, secrets, &delivered),
            Some(of("Create Delivered", Some("ci"), None))
        );
        let keys = "/apis/apikey-operator.dev/v1alpha1/namespaces/ns/apikeys";
        let key = json!({"metadata": {"name": "ci", "uid": "u1"}});
        assert_eq!(
            read_call(&put, &format!("{keys}/ci/status"), &key),
            Some(of("Update ApiKey", Some("ci"), Some("u1")))
        );
        let event = json!({"regarding": {"name": "ci", "uid": "u1"}});
        assert_eq!(
            read_call(&post, "/apis/events.k8s.io/v1/namespaces/ns/events", &event),
            Some(of("Create Event", Some("ci"), Some("u1")))
        );
        for list in [secrets, keys, "/api/v1/namespaces"] {
            assert_eq!(read_call(&Method::GET, list, &Value::Null), None);
        }
    }
}
