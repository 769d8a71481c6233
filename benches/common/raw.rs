//! Requests with raw JSON, for objects that this program can't decode.

use apikey_api::names;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

/// Sends an object or a merge patch as this user. Returns the stored object.
pub(crate) async fn send(
    client: &Client,
    user: Option<&str>,
    method: Method,
    path: &str,
    object: &Value,
) -> kube::Result<String> {
    let kind = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, kind);
    if let Some(user) = user {
        request = request.header("Impersonate-User", user);
    }
    let request = request.body(object.to_string().into_bytes()).unwrap();
    client.request_text(request).await
}

/// `managedFields` with a time that only the API server can read.
pub(crate) fn managed_fields(api_version: &str, fields: &Value) -> Value {
    json!([{
        "manager": "x", "operation": "Update", "apiVersion": api_version, "fieldsType": "FieldsV1",
        "time": "9999-12-31T23:59:59Z", "fieldsV1": fields,
    }])
}

/// The labels of a delivered Secret.
pub(crate) fn delivered_labels() -> Value {
    json!({
        names::LABEL_MANAGED_BY: names::MANAGED_BY,
        names::LABEL_COMPONENT: names::COMPONENT_API_KEY,
    })
}

/// Finalizers of about this many bytes.
pub(crate) fn finalizers(bytes: usize) -> Value {
    let one = |n| format!("example.com/{n:052}");
    let length = one(0).len() + r#""","#.len();
    (0..bytes / length).map(one).collect()
}
