//! Public documents, which are serialized once and shared by all responses.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::reply::{self, PUBLIC_MAX_AGE_SECONDS};
use apikey_credential::hex;

/// A JSON document that caches may store. Clones and responses share its bytes.
#[derive(Clone, Debug)]
pub struct Document {
    json: Bytes,
    tag: String,
}

impl Document {
    /// Creates a document with this content.
    #[must_use]
    pub fn new(json: String) -> Self {
        let digest = Sha256::digest(json.as_bytes());
        Self {
            tag: format!("\"{}\"", hex::encode(&digest[..16])),
            json: json.into(),
        }
    }

    /// The content.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The response to a caller with these headers: 304 if the caller already has the document (RFC
    /// 9110 section 13.1.2).
    #[must_use]
    pub fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
            let tags = value.to_str().unwrap_or_default().split(',');
            let mut tags = tags.map(|known| known.trim().trim_start_matches("W/"));
            tags.any(|known| known == self.tag || known == "*")
        });
        let mut response = if known {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            reply::json(StatusCode::OK, self.json.clone())
        };
        let cache = format!("public, max-age={PUBLIC_MAX_AGE_SECONDS}");
        let headers = response.headers_mut();
        if let (Ok(cache), Ok(tag)) = (
            HeaderValue::from_str(&cache),
            HeaderValue::from_str(&self.tag),
        ) {
            headers.insert(header::CACHE_CONTROL, cache);
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::HttpBody as _;

    use super::*;

    #[tokio::test]
    async fn answers_share_the_bytes_of_the_document() {
        let document = Document::new("{}".repeat(1000));
        let mut body = document.answer(&HeaderMap::new()).into_body();
        assert_eq!(body.size_hint().exact(), Some(2000));
        let bytes = axum::body::to_bytes(std::mem::take(&mut body), 2000).await;
        assert_eq!(bytes.unwrap().as_ptr(), document.json().as_ptr());
    }
}
